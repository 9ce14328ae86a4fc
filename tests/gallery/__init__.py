"""Synthetic streams with known truth, and the claims of docs/explanation/DECISIONS.md about them.

stream      what a stream is, and the payloads that it can have
registry    all streams and all claims
*           one module a family of streams
claim       what a claim is, and how a count of failures is judged
*_claims    one module a subject: measures riverrun's own classes on the streams
table       claim x stream as text and as Markdown

`make decisions` runs every claim on every stream that it is about.
"""
