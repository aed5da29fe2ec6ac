#include "CKeywordModel.h"

// #embed is of C23, which the compiler knows in every mode.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char bytes[] = {
#embed "../../Graphs/models/keyword-en.safetensors"
};

const void *ckw_keyword_en(void) { return bytes; }

size_t ckw_keyword_en_count(void) { return sizeof bytes; }
