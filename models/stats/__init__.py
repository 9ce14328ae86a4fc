"""What the evidence says: whether a model is better, worse, changed, late, or sure.

The rule of the room: each file is one algorithm, a plain state machine that is fed in event order,
reads no clock and draws no unseeded number, so that the same records give the same verdict. Each
says what its guarantee rests on, and what it does not promise.
"""
