"""Random-weight Whisper models of published shapes, for timing: needs torch, transformers and the demo model.

python -m tests.gpu.random_whisper OUT_DIR [tiny base small medium large-v3 turbo]
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from ctranslate2.converters import transformers as converter
from transformers import WhisperConfig, WhisperForConditionalGeneration

from tests.inference.clips import DEMO

SHAPES = {  # width, heads, encoder layers, decoder layers, mel bands
    "tiny": (384, 6, 4, 4, 80), "base": (512, 8, 6, 6, 80), "small": (768, 12, 12, 12, 80),
    "medium": (1024, 16, 24, 24, 80), "large-v3": (1280, 20, 32, 32, 128), "turbo": (1280, 20, 32, 4, 128),
}  # fmt: skip


def build(name: str, out: Path) -> None:
    """Vocabulary, languages and tokenizer are the demo model's."""
    width, heads, encoder_layers, decoder_layers, mels = SHAPES[name]
    tokens = json.loads((DEMO / "vocabulary.json").read_text())
    config = WhisperConfig(
        vocab_size=len(tokens), num_mel_bins=mels, d_model=width, encoder_layers=encoder_layers,
        decoder_layers=decoder_layers, encoder_attention_heads=heads, decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, max_source_positions=1500, max_target_positions=448,
    )  # fmt: skip
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = WhisperForConditionalGeneration(config).half().cpu()
    spec = converter._MODEL_LOADERS["WhisperConfig"].get_model_spec(model)
    spec.register_vocabulary(tokens)
    theirs = json.loads((DEMO / "config.json").read_text())
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [], []
    spec.config.lang_ids = theirs["lang_ids"]
    spec.config.alignment_heads = [(decoder_layers - 1, head) for head in range(4)]
    spec.validate()
    spec.optimize(quantization="float16")
    out.mkdir(parents=True, exist_ok=True)
    spec.save(str(out))
    (out / "preprocessor_config.json").write_text(json.dumps({"feature_size": mels}))
    shutil.copy(DEMO / "tokenizer.json", out)


if __name__ == "__main__":
    for shape in sys.argv[2:] or SHAPES:
        build(shape, Path(sys.argv[1]) / shape)
