#include <zmq.h>
#if defined(__linux__)
#include <malloc.h>
#include <sys/eventfd.h>
#endif
