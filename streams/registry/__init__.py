"""The Schema Registry: schemas that records of foreign topics were written with."""
