"""Is a .tflite what its format says, before any interpreter sees it?

Interpreters follow the offsets of a file unread: LiteRT up to 2.2 ends with SIGSEGV or SIGFPE on a file that was
changed. Here every offset, size, index and shape is read within bounds first, in the order of the files:

flatbuffer   bytes -> tables, each within the file, at most so deep and so many
layout       which fields a table of TFLite's schema has
graph        tables -> tensors and operations whose indices, sizes and scales fit each other
operations   the operations that pose networks are made of, with their options and numbers of tensors
call, windows, shapes    what each operation makes of its inputs' shapes, against what the file declares
structure    all of it for one file
"""
