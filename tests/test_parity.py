"""The same numbers as PyTorch, in float64. Skipped where PyTorch is not installed (make test-parity installs it)."""

import numpy as np
import pytest
from conftest import small_batch, small_config

import minixfmr
from minixfmr import layers, training
from minixfmr.models import causal_mask

torch = pytest.importorskip("torch", reason="PyTorch is not installed; make test-parity installs it")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:enable_nested_tensor")]


def as_torch(array):
    return torch.tensor(np.asarray(array))


class Twin(torch.nn.Module):
    """minixfmr's EncoderDecoder in PyTorch: torch.nn.Transformer between embeddings and logits."""

    def __init__(self, config):
        super().__init__()
        d, c = config.d_model, config
        self.config = config
        self.source = torch.nn.Embedding(c.vocab_size, d)
        self.target = torch.nn.Embedding(c.target_vocab_size, d)
        self.output = torch.nn.Linear(d, c.target_vocab_size, bias=False)
        if c.share_encoder_decoder_embeddings:
            self.source = self.target
        if c.tie_word_embeddings:
            self.output.weight = self.target.weight
        self.transformer = torch.nn.Transformer(
            d_model=d,
            nhead=c.num_heads,
            num_encoder_layers=c.num_encoder_layers,
            num_decoder_layers=c.num_decoder_layers,
            dim_feedforward=c.d_ff,
            dropout=0.0,
            activation="gelu" if c.activation == "gelu" else "relu",
            layer_norm_eps=c.layer_norm_eps,
            batch_first=True,
            norm_first=c.norm_order == "pre",
        )
        if not c.has_final_norm:  # PyTorch adds a norm after the last block, which the paper's order does not have
            self.transformer.encoder.norm = self.transformer.decoder.norm = None
        self.table = as_torch(layers.sinusoidal_table(c.max_position_embeddings, d))

    def forward(self, input_ids, decoder_input_ids, attention_mask):
        T = decoder_input_ids.shape[1]
        scale = self.config.d_model**0.5
        padding = ~as_torch(attention_mask).bool()
        y = self.transformer(
            self.source(as_torch(input_ids)) * scale + self.table[: input_ids.shape[1]],
            self.target(as_torch(decoder_input_ids)) * scale + self.table[:T],
            tgt_mask=~as_torch(causal_mask(T)[0, 0]),
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
        )
        return self.output(y)


def twin_names(name):
    """PyTorch's name of a parameter of ours, and the part of it (query, key and value lie in one array there)."""
    name = name.replace(".tokens.", ".").removeprefix("head.")
    if not name.startswith(("encoder", "decoder")):
        return name, None
    sublayers = ["self_attention", "cross_attention", "feed_forward"]
    if name.startswith("encoder"):
        sublayers.remove("cross_attention")
    name = "transformer." + name.replace("blocks.", "layers.")
    for i, sublayer in enumerate(sublayers, 1):
        name = name.replace(f"{sublayer}.norm", f"norm{i}")
    name = name.replace("feed_forward.layer.hidden", "linear1").replace("feed_forward.layer.output", "linear2")
    name = name.replace("self_attention.layer", "self_attn").replace("cross_attention.layer", "multihead_attn")
    name = name.replace("attn.output", "attn.out_proj")
    for part, word in enumerate(["query", "key", "value"]):
        if f"attn.{word}." in name:
            return name.replace(f"{word}.", "in_proj_"), part
    return name, None


def pairs(model, twin):
    """(name, our Parameter, PyTorch's tensor, select): select(tensor or gradient) is laid out as ours."""
    theirs = dict(twin.named_parameters(remove_duplicate=False))
    for name, p in model.named_parameters():
        other, part = twin_names(name)

        def select(tensor, part=part, p=p, name=name):
            if part is not None:
                tensor = tensor.chunk(3)[part]
            is_matrix = tensor.ndim == 2 and ("encoder." in name or "decoder." in name)  # theirs are (out, in)
            return tensor.T if is_matrix else tensor

        yield name, p, theirs[other], select


def make_twins(**changes):
    config = small_config(**changes)
    model, twin = minixfmr.EncoderDecoder(config), Twin(config).double()
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for _, p, tensor, select in pairs(model, twin):
            p.data += 0.3 * rng.standard_normal(p.shape)  # gains off 1, biases off 0
            select(tensor).copy_(as_torch(p.data))
    covered = {id(tensor) for _, _, tensor, _ in pairs(model, twin)}
    assert covered == {id(tensor) for tensor in twin.parameters()}
    return model, twin


def relative_error(ours, theirs):
    theirs = theirs.detach().numpy()
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-3)


configs = pytest.mark.parametrize(
    "changes",
    [
        {"norm_order": "post"},
        {"norm_order": "pre"},
        {"norm_order": "post", "final_norm": True},
        {"norm_order": "post", "activation": "gelu", "num_encoder_layers": 1, "num_decoder_layers": 3},
        {"norm_order": "pre", "tie_word_embeddings": False, "layer_norm_eps": 1e-2},
        {
            "norm_order": "pre",
            "share_encoder_decoder_embeddings": False,
            "decoder_vocab_size": 9,
            "num_heads": 4,
            "d_ff": 5,
        },
    ],
)


@configs
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_logits_loss_and_every_gradient(changes, smoothing):
    model, twin = make_twins(**changes)
    batch = small_batch(model.config, seed=2, B=4, S=7, T=6)
    labels = batch.pop("labels")
    criterion = minixfmr.CrossEntropy(label_smoothing=smoothing)
    logits, saved = model.forward(**batch)
    loss, saved_loss = criterion.forward(logits, labels)
    model.backward(criterion.backward(saved_loss), saved)

    twin_logits = twin(**batch)
    twin_loss = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(
        twin_logits.reshape(-1, twin_logits.shape[-1]), as_torch(labels).reshape(-1)
    )
    twin_loss.backward()
    assert relative_error(logits, twin_logits) < 1e-9
    assert loss == pytest.approx(twin_loss.item(), rel=1e-12)
    for name, p, tensor, select in pairs(model, twin):
        assert relative_error(p.grad, select(tensor.grad)) < 1e-9, name


@pytest.mark.parametrize("changes", [{"norm_order": "post"}, {"norm_order": "pre"}])
def test_a_hundred_steps_of_adamw_follow_pytorch(changes):
    model, twin = make_twins(**changes)
    ours = minixfmr.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.05)
    theirs = torch.optim.AdamW(twin.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.05)
    schedule = training.noam(model.config.d_model, 30, factor=0.1)
    criterion, twin_criterion = minixfmr.CrossEntropy(), torch.nn.CrossEntropyLoss()
    losses, twin_losses = [], []
    for step in range(1, 101):
        batch = small_batch(model.config, seed=step % 7)
        labels = batch.pop("labels")
        ours.lr = theirs.param_groups[0]["lr"] = schedule(step)

        model.zero_grad()
        logits, saved = model.forward(**batch)
        loss, saved_loss = criterion.forward(logits, labels)
        model.backward(criterion.backward(saved_loss), saved)
        norm = minixfmr.clip_grad_norm(model.parameters(), 1.0)
        ours.step()

        theirs.zero_grad()
        twin_logits = twin(**batch)
        twin_loss = twin_criterion(twin_logits.reshape(-1, twin_logits.shape[-1]), as_torch(labels).reshape(-1))
        twin_loss.backward()
        twin_norm = torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        theirs.step()

        losses.append(loss)
        twin_losses.append(twin_loss.item())
        assert norm == pytest.approx(twin_norm.item(), rel=1e-6)
    np.testing.assert_allclose(losses, twin_losses, rtol=1e-7)
    assert losses[-1] < 0.7 * losses[0]


def test_pieces(rng):
    x = rng.standard_normal((3, 5, 8))
    close = dict(rtol=1e-11, atol=1e-13)
    for name, other in [
        ("relu", torch.nn.functional.relu),
        ("gelu", torch.nn.functional.gelu),
        ("gelu_tanh", lambda t: torch.nn.functional.gelu(t, approximate="tanh")),
    ]:
        np.testing.assert_allclose(layers.ACTIVATIONS[name][0](x)[0], other(as_torch(x)).numpy(), **close)
    single = x.astype("float32")
    np.testing.assert_allclose(
        layers.gelu(single)[0], torch.nn.functional.gelu(as_torch(single)).numpy(), rtol=1e-5, atol=1e-6
    )
    q, k, v = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((2, 3, 6, 5))
    mask = rng.random((2, 1, 4, 6)) < 0.7
    mask[..., 0] = True
    theirs = torch.nn.functional.scaled_dot_product_attention(*map(as_torch, (q, k, v)), attn_mask=as_torch(mask))
    np.testing.assert_allclose(layers.attention(q, k, v, mask)[0], theirs.numpy(), **close)


@pytest.mark.parametrize("ignore_index", [-100, 0, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_cross_entropy(rng, smoothing, ignore_index):
    logits, labels = 3 * rng.standard_normal((40, 7)), rng.integers(0, 7, 40)
    labels[::5] = ignore_index
    loss, saved = minixfmr.CrossEntropy(ignore_index, smoothing).forward(logits, labels)
    tensor = as_torch(logits).requires_grad_()
    theirs = torch.nn.CrossEntropyLoss(ignore_index=ignore_index, label_smoothing=smoothing)(tensor, as_torch(labels))
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-12)
    np.testing.assert_allclose(minixfmr.CrossEntropy().backward(saved), tensor.grad.numpy(), atol=1e-14)
