"""Who riverrun is to Kafka where a token says so: where tokens come from and are renewed."""
