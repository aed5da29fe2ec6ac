"""The language model's step and prefill in llama.cpp, through llama-cpp-python's lowest layer."""

from pathlib import Path

import llama_cpp as llama

from shapes import LANGUAGE, PROMPT_COLUMNS, STEP_POSITION


class Model:
    def __init__(self, path, threads, sequences):
        llama.llama_backend_init()
        self.parameters = llama.llama_model_default_params()
        self.parameters.n_gpu_layers = 0
        self.model = llama.llama_model_load_from_file(str(path).encode(), self.parameters)
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        options = llama.llama_context_default_params()
        options.n_ctx = 512 * sequences
        options.n_batch = options.n_ubatch = 512
        options.n_seq_max = sequences
        options.n_threads = options.n_threads_batch = threads
        self.context = llama.llama_init_from_model(self.model, options)
        if not self.context:
            raise RuntimeError("llama.cpp made no context")
        self.memory = llama.llama_get_memory(self.context)

    def batch(self, entries):
        """entries: (token, position, sequence, whether its logits are wanted)"""
        batch = llama.llama_batch_init(len(entries), 0, 1)
        batch.n_tokens = len(entries)
        for index, (token, position, sequence, wanted) in enumerate(entries):
            batch.token[index], batch.pos[index] = token, position
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
            batch.logits[index] = wanted
        return batch

    def decode(self, batch):
        if llama.llama_decode(self.context, batch) != 0:
            raise RuntimeError("llama.cpp did not decode")
        llama.llama_synchronize(self.context)

    def forget(self, sequence, position):
        llama.llama_memory_seq_rm(self.memory, sequence, position, -1)


def token(index):
    return index * 7919 % LANGUAGE.vocabulary


def step(path, threads):
    """Two sequences' next tokens in one batch, with all logits of both; the text-only row too reads its whole head."""
    model = Model(path, threads, sequences=2)
    for sequence in range(2):
        model.decode(model.batch([(token(p), p, sequence, p == 0) for p in range(STEP_POSITION)]))
    batch = model.batch([(token(s), STEP_POSITION, s, True) for s in range(2)])

    def run():
        model.decode(batch)
        for sequence in range(2):
            model.forget(sequence, STEP_POSITION)

    return run


def prefill(path, threads):
    model = Model(path, threads, sequences=1)
    last = PROMPT_COLUMNS - 1
    batch = model.batch([(token(p), p, 0, p == last) for p in range(PROMPT_COLUMNS)])

    def run():
        model.decode(batch)
        model.forget(0, 0)

    return run


def stage(name, kind, threads, models):
    path = Path(models) / f"language-{kind}.gguf"
    return {"language-step": step, "language-prefill": prefill}[name](path, threads)
