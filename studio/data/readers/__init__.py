"""Read rows from open files, one reader per format: the first ones at once, any one later, all of them in one pass.

Files are opened here and parsed from the open handle: no URL is followed, and every cell stays what the file says
(`None`, `NA` and `00123` are text).
"""
