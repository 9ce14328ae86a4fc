"""Readers of predictions and of features, for consumers.

`pip install 'riverrun[consumer]'` brings what they need: `aiokafka` for predictions, `redis` for
features.
"""

from riverrun.client.features import FeatureReader
from riverrun.client.predictions import CommittedReader, PredictionBatch, read
from schemas.feature_keys import Served

__all__ = ["CommittedReader", "FeatureReader", "PredictionBatch", "Served", "read"]
