"""The dimensions of the release, and of one laid out as it with every dimension small."""

from typing import NamedTuple

LAYERS = 7  # audio layers
SPECIALS = 64  # ids kept at the end of the text vocabulary, and of every audio layer's


class Shape(NamedTuple):
    tokens: int  # in the tokenizer, special ones included
    config: dict  # what differs in model_config.yaml
    whisper: str  # the size of Whisper that it comes with
    clip: dict
    snac: dict


# width, layers, heads; of the encoder and of the decoder, whose vocabulary has `vocabulary` ids and `context` positions
WHISPER = {
    "micro": {"width": 48, "heads": 3, "layers": 2, "text_layers": 1, "vocabulary": 64, "context": 8},
    "tiny": {"width": 384, "heads": 6, "layers": 4, "text_layers": 4, "vocabulary": 51865, "context": 448},
    "base": {"width": 512, "heads": 8, "layers": 6, "text_layers": 6, "vocabulary": 51865, "context": 448},
    "small": {"width": 768, "heads": 12, "layers": 12, "text_layers": 12, "vocabulary": 51865, "context": 448},
}

SHAPES = {
    "mini-omni2": Shape(
        tokens=151646,
        config={
            "n_layer": 24, "n_embd": 896, "n_head": 14, "n_query_groups": 2, "head_size": 64, "intermediate_size": 4864,
            "block_size": 2048, "text_vocab_size": 152000, "audio_vocab_size": 4160, "vision_adapter_dim": 512,
        },
        whisper="small",
        clip={
            "resolution": 224, "patch": 32, "width": 768, "layers": 12, "out": 512, "text_width": 512, "text_layers": 12,
            "context": 77, "vocabulary": 49408,
        },
        snac={"encoder_dim": 48, "decoder_dim": 1024, "codebook_size": 4096},
    ),
    "micro": Shape(
        tokens=309,
        config={
            "n_layer": 2, "n_embd": 64, "n_head": 4, "n_query_groups": 2, "head_size": 16, "intermediate_size": 160,
            "block_size": 256, "text_vocab_size": 384, "audio_vocab_size": 128, "vision_adapter_dim": 32,
        },
        whisper="micro",
        clip={
            "resolution": 224, "patch": 32, "width": 128, "layers": 2, "out": 32, "text_width": 64, "text_layers": 1,
            "context": 4, "vocabulary": 8,
        },
        snac={"encoder_dim": 6, "decoder_dim": 48, "codebook_size": 64},
    ),
}  # fmt: skip


def model_config(shape, whisper):
    """Every key of the release's `model_config.yaml`."""
    audio, text = shape.config["audio_vocab_size"], shape.config["text_vocab_size"]
    return {
        **shape.config,
        "cat_audio_vocab_size": LAYERS * audio, "padded_vocab_size": text + LAYERS * audio,
        "vocab_size": text + LAYERS * audio, "whisper_adapter_dim": WHISPER[whisper]["width"],
        "name": "qwen2", "hf_config": {}, "scale_embeddings": False, "padding_multiple": 512, "rotary_percentage": 1.0,
        "parallel_residual": False, "bias": False, "lm_head_bias": False, "add_qkv_bias": True,
        "shared_attention_norm": False, "norm_class_name": "RMSNorm", "norm_eps": 1e-6, "mlp_class_name": "LLaMAMLP",
        "gelu_approximate": "none", "rope_condense_ratio": 1, "rope_base": 1000000, "n_expert": 0,
        "n_expert_per_token": 0, "prompt_vocab_size": None, "attn_dropout": 0.0, "pos_type": "rope",
        "force_align": False, "use_pretrain_phoneme_emb": False, "tie_word_embeddings": False, "post_adapter": False,
        "post_adapter_layers": 6, "asr_adapter": "llamamlp",
    }  # fmt: skip


def snac_config(shape):
    """Every key of the release's `config.json`."""
    return {
        "sampling_rate": 24000, "encoder_dim": shape.snac["encoder_dim"], "encoder_rates": [2, 4, 8, 8],
        "decoder_dim": shape.snac["decoder_dim"], "decoder_rates": [8, 8, 4, 2], "attn_window_size": None,
        "codebook_size": shape.snac["codebook_size"], "codebook_dim": 8, "vq_strides": [4, 2, 1], "noise": True,
        "depthwise": True,
    }  # fmt: skip
