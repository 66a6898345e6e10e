"""Rows for training from what people have: chat exports and documents.

`parts` opens files, folders and zips, `reading` knows the chat formats (one module each), `conversations` makes rows of
messages, `documents`, `passages` and `recipes` make rows of text, `privacy` replaces what identifies people, and `make`
puts them together and writes the rows.
"""
