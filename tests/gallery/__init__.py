"""Synthetic streams with known truth, and the claims of docs/explanation/DECISIONS.md about them.

registry    all streams and all claims
streams/    what a stream is, the payloads that it can have, and a module for each family of streams
claims/     what a claim is, how a count of failures is judged, and a module for each subject, which
            measures riverrun's own classes on the streams
table       claim x stream as text and as Markdown

`make decisions` runs every claim on every stream that it is about.
"""
