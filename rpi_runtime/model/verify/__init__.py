"""Verify the structure of a .tflite before an interpreter sees it.

Interpreters follow the offsets of a file unchecked: LiteRT up to 2.2 ends with SIGSEGV or SIGFPE on a modified file.
Here every offset, size, index and shape is checked first, in the order of the files:

flatbuffer   bytes -> tables, each within the file, of bounded depth and number
layout       which fields a table of TFLite's schema has
graph        tables -> tensors and operations whose indices, sizes and scales fit each other
operations   the operations that pose networks are made of, with their options and numbers of tensors
call, windows, shapes    what each operation makes of its inputs' shapes, against what the file declares
structure    all of it for one file
"""
