"""The fields of Config that the Transformer's descendants added. The defaults leave the paper's model as it was."""

from dataclasses import dataclass

from ...checks.fields import Fields


@dataclass(frozen=True, kw_only=True)
class VariantConfig(Fields):
    """What the descendants changed, and what the vectors are used for; the base of Config."""

    norm: str = "layer"  # LayerNorm, or "rms" (T5, LLaMA), or "rms_offset", whose gain is stored minus 1 (Gemma)
    final_norm: bool | None = None  # a norm at the end of each stack; None: with pre-norm only
    embedding_norm: bool = False  # a norm on the embedding sum (BERT, BART)
    embedding_padding: bool = True  # False: embeddings of padding are set to 0 (DeBERTa)
    embedding_size: int | None = None  # width of the embeddings, where a projection follows (ALBERT); None: d
    type_vocab_size: int = 0  # token types, such as first and second sentence (BERT)
    position_offset: int = 0  # position t uses row t + offset of the table (BART: 2)
    positions_from_ids: bool = False  # row = pad_token_id + number of real tokens so far (RoBERTa, M2M100)
    padding_gradient: bool = True  # False: looking up padding adds nothing to the gradient of its row
    head_dim: int | None = None  # dh; None: d / H
    num_key_value_heads: int | None = None  # Hk, each shared by H / Hk query heads (LLaMA); None: H
    attention_bias: bool = True  # biases of query, key, value and output
    key_bias: bool = True  # that of the key alone (DeBERTa v1: none)
    output_bias: bool | None = None  # that of the output alone; None: as attention_bias (Qwen2: none)
    query_key_norm: bool = False  # a norm on each head's queries and keys (Qwen3)
    attention_scale: float | None = None  # of the scores; None: 1/√dh (T5: 1)
    sliding_window: int | None = None  # a query sees this many keys, its own included (Mistral); None: all before it
    window_every: int = 1  # in every n-th block, the first without (2: dense and banded in turn, as in GPT-3)
    window_from: int = 0  # and in no block before this one (Qwen2)
    parallel_residual: bool = False  # attention and feed-forward side by side (GPT-NeoX)
    shared_blocks: bool = False  # one block serves as all (ALBERT)
    positions_from_mask: bool = False  # a position is the number of real tokens before it (OPT)
    relative_positions: str = "none"  # inside attention: "rotary" (LLaMA), "buckets" (T5), "disentangled" (DeBERTa)
    rope_theta: float = 10000.0  # rotary: the base of the wavelengths
    rope_scaling: dict | None = None  # rotary: other frequencies, see rotary_frequencies; None: those of the theta
    relative_buckets: int = 32  # of T5's distances, or of DeBERTa v2's logarithmic ones (0: none)
    relative_max_distance: int = 128  # distances beyond this share a bucket (T5), or a row (DeBERTa)
    relative_per_block: bool = False  # buckets: a table for each block (umT5), not one for all
    disentangled_terms: str = "c2p|p2c"  # which position terms the scores have (DeBERTa)
    shared_position_projections: bool = False  # positions go through the attention's own matrices (DeBERTa v3)
    relative_norm: bool = False  # a norm on the table of relative positions (DeBERTa v2)
    convolution: int = 0  # width of the convolution beside the first block (DeBERTa v2 xlarge); 0: none
    convolution_activation: str = "gelu"  # what the convolution's output goes through
    feed_forward_bias: bool = True  # biases of the feed-forward layers
    gated_feed_forward: bool = False  # activation(x Wᵍ) ⊙ x W₁ inside (Shazeer 2020)
    decoder_num_heads: int | None = None  # of the decoder, where it differs from the encoder (BART)
    decoder_d_ff: int | None = None  # f of the decoder, likewise
    scale_output: bool = False  # final vectors times 1/√d before the output layer (T5 with tied embeddings)
    logits_bias: bool = False  # a constant added to the logits, stored but not trained (BART, Marian)

    # --- what the vectors are used for

    head: str = "auto"  # "masked_lm" for EncoderOnly, "causal_lm" for DecoderOnly, "seq2seq_lm" for EncoderDecoder
    head_activation: str = "gelu"  # of the hidden layer in a masked-LM or classification head
    num_labels: int = 2  # of classification heads
    pooling: str = "first"  # a sequence is its first token, its "last", "last_by_id" (not pad_token_id), or the "mean"
