"""The parts of shared learning besides the two state machines of `task/`.

schedule       when a version of a model is due
versions       the state of a model as it travels: numbers of linear pipelines, pickles of others
window_batches what windows over all partitions count, in one order
window_folds   the same, counted once for all partitions of a process
adoption       what a partition does with the versions and roles that the learner publishes
"""
