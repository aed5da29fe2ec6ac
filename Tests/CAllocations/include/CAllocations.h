#pragma once

/// Whether allocations are counted: where malloc is glibc's and no sanitizer has taken its place.
int allocations_are_counted(void);

/// How often this thread has asked for memory so far, whoever asked: Swift, C or a library.
unsigned long allocations_of_this_thread(void);
