"""Everything that talks to Kafka: transport, transactional writer, readers, topic
administration.
"""
