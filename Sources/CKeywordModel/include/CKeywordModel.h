#ifndef CKEYWORD_MODEL_H
#define CKEYWORD_MODEL_H

#include <stddef.h>

/// The bytes of Graphs/models/keyword-en.safetensors, which are part of every program that listens for commands.
const void *ckw_keyword_en(void);
size_t ckw_keyword_en_count(void);

#endif
