"""The VAE beside VQ-VAE with a prior, on the bundled digits: what each draws, and what it keeps.

    python benchmarks/vae_baseline.py

First the `digits` preset twice, once with its codebook and once with a Gaussian bottleneck of the
same width: pictures drawn from the VAE's N(0, 1), from a Gaussian fitted to the latents of each
class, and from the codes' prior, measured for sharpness and by a classifier of real digits. Then
posterior collapse: the same encoder and bottlenecks below a decoder that sees only the latent, and
below a PixelCNN that sees the pixels before as well.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from classifiers import accuracy, digit_classifier, unit
from pictures import DIGITS, load_pictures, rounded, save_sheet, sharpness, write_figures
from torch import Tensor, nn

from vocabula import load, open_source
from vocabula.nn import VQVAEDecoder, VQVAEEncoder
from vocabula.pipelines import encode_dataset
from vocabula.priors import CodeGrid, Conditioning, Drawing, PixelCNN, load_generator
from vocabula.quantizers import VectorQuantizer
from vocabula.tokenizers import GaussianBottleneck, SignalTokenizer
from vocabula.training import load_config, train, train_prior

VARIANCE = 0.14  # of the digits, what the preset divides its error by
LEVELS = 17  # grey values of the digits
DIM = 16


# ------------------------------------------------------------------ pictures drawn from both


def sampled(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train both, draw from both, and measure the pictures."""
    train(load_config("digits"), DIGITS, folder / "vq", progress=False)
    weight, noise = 0.0, 0.01
    for turn in range(3):  # the KL weight of the likelihood bound at the noise found before
        weight = 2 * noise * 16 * DIM / (VARIANCE * 64)
        override = f"quantizer={{name='gaussian', dim={DIM}, kl_weight={weight}}}"
        out = folder / f"vae{turn}"
        noise = train(load_config("digits", [override]), DIGITS, out, progress=False)["mse"]
    vq, vae = load(folder / "vq"), load(out)
    encode_dataset(vq, open_source(DIGITS), folder / "tokens.parquet")
    prior = load_config("transformer", [f"training.steps={options.prior_steps}"])
    figures = train_prior(prior, vq, folder / "tokens.parquet", folder / "prior", progress=False)
    judge, judged = digit_classifier()
    images, labels = load_pictures(DIGITS)
    test, test_labels = load_pictures(f"{DIGITS}/test")
    asked = torch.arange(10).repeat(options.each)
    torch.manual_seed(0)
    generator = load_generator(folder / "prior")
    wanted = {"class": asked.tolist()}
    drawn = {
        "VAE, N(0, 1)": decoded(vae, torch.randn(len(asked), 4, 4, DIM)),
        "VAE, a Gaussian for each class": decoded(vae, by_class(vae, images, labels, asked)),
        "VQ-VAE + prior": generator.sample(len(asked), seed=0).images,
        "VQ-VAE + prior, by class": generator.sample(len(asked), attributes=wanted, seed=0).images,
        "VQ-VAE + prior, by class, guidance 2": generator.sample(
            len(asked), attributes=wanted, drawing=Drawing(guidance=2.0), seed=0
        ).images,
    }
    rows = {
        "real (test)": measured(judge, test / 255, test_labels),
        "VAE, reconstructed": measured(judge, vae.reconstruct(test), test_labels),
        "VQ-VAE, reconstructed": measured(judge, vq.reconstruct(test), test_labels),
    }
    for name, pictures in drawn.items():
        asked_for = asked if "class" in name else None
        rows[name] = measured(judge, pictures, asked_for)
    shown = [drawn[name][:40] for name in list(drawn)[:4]]
    return {
        "classifier_accuracy": judged,
        "vae_kl_weight": weight,
        "vae_noise_variance": noise,
        "prior": figures["levels"][0],
        "pictures": rows,
        "sheet": save_sheet("vae-baseline", torch.cat(shown), 20, scale=3),
    }


def decoded(tokenizer: SignalTokenizer, values: Tensor) -> Tensor:
    """Images of latents (N, 4, 4, DIM)."""
    with torch.inference_mode():
        return tokenizer.decode_values([values])


def by_class(vae: SignalTokenizer, images: Tensor, labels: Tensor, asked: Tensor) -> Tensor:
    """Latents drawn from a Gaussian with the mean and covariance of those of each class."""
    with torch.inference_mode():
        vectors = vae.analyse(images).vectors[0]
        bottleneck = vae.levels[0].quantizer
        assert isinstance(bottleneck, GaussianBottleneck)
        latents = bottleneck.sample(vectors, generator=torch.Generator().manual_seed(0))
    drawn = torch.empty(len(asked), latents[0].numel())
    for digit in range(10):
        of_class = latents[labels == digit].flatten(1).double()
        covariance = of_class.T.cov() + 1e-4 * torch.eye(of_class.shape[1], dtype=torch.float64)
        gaussian = torch.distributions.MultivariateNormal(of_class.mean(0), covariance)
        which = asked == digit
        drawn[which] = gaussian.sample((int(which.sum()),)).float()
    return drawn.view(-1, *latents.shape[1:])


def measured(judge: nn.Module, images: Tensor, labels: Tensor | None) -> dict[str, float]:
    """Sharpness, how sure the classifier is, and how often it sees what was asked for."""
    with torch.inference_mode():
        sure = judge(unit(images)).softmax(1).amax(1)
    figures = {"sharpness": sharpness(images), "sure": float((sure > 0.9).double().mean())}
    return figures if labels is None else figures | {"accuracy": accuracy(judge, images, labels)}


# ------------------------------------------------------------------------ posterior collapse


class PixelModel(nn.Module):
    """p(x | latent) of pictures of 17 grey values, with or without the pixels before.

    Args:
        bottleneck: a quantizer, or the VAE's Gaussian.
        strong: whether a PixelCNN sees the pixels before; else pixels are independent.
    """

    def __init__(self, bottleneck: VectorQuantizer | GaussianBottleneck, *, strong: bool) -> None:
        super().__init__()
        nets = {"hidden": 32, "residual_layers": 1, "residual_hidden": 16, "downsample": 2}
        self.encoder = VQVAEEncoder(1, DIM, **nets)
        self.bottleneck = bottleneck
        self.decoder = VQVAEDecoder(DIM, 32 if strong else LEVELS, **nets)
        # the PixelCNN takes the decoder's vectors where a prior takes encoded coarser codes
        upper = Conditioning(upper=(CodeGrid((2,), (4, 4)),))
        grid = CodeGrid((LEVELS,), (8, 8))
        self.pixels = PixelCNN(grid, upper, hidden=32, layers=5, kernel=3) if strong else None

    def latent(self, x: Tensor) -> Tensor:
        """The vectors (B, 4, 4, D) of pictures x (B, 1, 8, 8) of grey values."""
        encoded: Tensor = self.encoder(x.float() / (LEVELS - 1) - 0.5)
        return encoded.movedim(1, -1)

    def nats(self, x: Tensor, values: Tensor) -> Tensor:
        """-log p(x | latent) (B,) of pictures x (B, 1, 8, 8)."""
        symbols = x[:, 0, :, :, None]
        described = self.decoder(values.movedim(-1, 1)).movedim(1, -1)
        if self.pixels is not None:
            features = self.pixels.features(self.pixels.embed(symbols), described)
            described = self.pixels.head(features, symbols)[0]
        return -described.log_softmax(-1).gather(-1, symbols).flatten(1).sum(1)

    def loss(self, x: Tensor) -> Tensor:
        """Nats per pixel: a VAE's negative bound, or the likelihood and the commitment."""
        result = self.bottleneck(self.latent(x))
        nats = self.nats(x, result.values).mean() / 64
        if isinstance(self.bottleneck, GaussianBottleneck):
            return nats + result.losses["kl"] * (16 * DIM / 64)
        return nats + result.loss


def collapse(steps: int, seed: int = 0) -> dict[str, Any]:
    """Both bottlenecks below a weak and a strong decoder."""
    grey = [(load_pictures(f"{DIGITS}{part}")[0].float() / 15.9375).round().long()
            for part in ("", "/test")]  # fmt: skip
    rows = {}
    for name in ("VAE", "VQ-VAE"):
        for strong in (False, True):
            torch.manual_seed(seed)
            bottleneck = GaussianBottleneck(DIM) if name == "VAE" else VectorQuantizer(DIM, 64)
            model = PixelModel(bottleneck, strong=strong).train()
            learn(model, grey[0], steps)
            row = f"{name}, {'PixelCNN' if strong else 'independent pixels'}"
            rows[row] = latent_figures(model.eval(), grey[1])
            print(row, rows[row], flush=True)
    return rows


def learn(model: PixelModel, x: Tensor, steps: int) -> None:
    """Train with Adam and a cosine schedule, batches of 64."""
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        loss = model.loss(x[torch.randint(len(x), (64,))])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.inference_mode()
def latent_figures(model: PixelModel, x: Tensor) -> dict[str, float]:
    """What the latent says of held-out pictures x, and whether the decoder listens.

    ``information`` is the mutual information, in nats, of the latent and which of the N pictures
    it was made of, at most ln N; ``listening`` what the pictures cost more, in nats, when each is
    decoded with the latent of another.
    """
    vectors = model.latent(x)
    bottleneck = model.bottleneck
    figures: dict[str, float] = {}
    if isinstance(bottleneck, GaussianBottleneck):
        generator = torch.Generator().manual_seed(0)
        values = bottleneck.sample(vectors, generator=generator)
        figures["kl"] = float(bottleneck.kl_bits(vectors).sum((1, 2)).mean()) * math.log(2)
        figures["active_units"] = bottleneck.statistics(vectors).active_units
        figures["information"] = continuous_information(bottleneck, vectors, values)
    else:
        codes = bottleneck.encode(vectors)
        values = bottleneck.decode(codes)
        share = codes.flatten().bincount().double() / codes.numel()
        figures["perplexity"] = float(torch.exp(torch.special.entr(share).sum()))
        same = codes.flatten(1).unique(dim=0, return_counts=True)[1].double() / len(codes)
        figures["information"] = float(torch.special.entr(same).sum())
    own = model.nats(x, values).mean()
    other = model.nats(x, values.roll(1, 0)).mean()
    return figures | {"nats": float(own), "listening": float(other - own)}


def continuous_information(
    bottleneck: GaussianBottleneck, vectors: Tensor, values: Tensor
) -> float:
    """E log q(u | x_i) / mean_j q(u | x_j), u drawn of picture i."""
    mean, log_variance = (part.flatten(1).double() for part in bottleneck.posterior(vectors))
    u = values.flatten(1).double()
    densities = torch.stack([
        -((row - mean).square() / log_variance.exp() + log_variance).sum(1) / 2 for row in u
    ])  # fmt: skip
    own = densities.diagonal()
    return float((own - densities.logsumexp(1)).mean() + math.log(len(u)))


def main() -> None:
    """Measure both parts, write the result and the sheet of pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior-steps", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=1000, help="of the experiment on collapse")
    parser.add_argument("--each", type=int, default=50, help="pictures drawn of each class")
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder")
    options = parser.parse_args()
    started = time.perf_counter()
    figures: dict[str, Any] = {"collapse": collapse(options.steps)}
    with tempfile.TemporaryDirectory() as scratch:
        figures = {"samples": sampled(options.keep or Path(scratch), options)} | figures
    figures["test_pictures"], figures["most_information"] = 297, math.log(297)
    figures["seconds"] = time.perf_counter() - started
    words = ["vae_baseline.py", "--prior-steps", str(options.prior_steps),
             "--steps", str(options.steps), "--each", str(options.each)]  # fmt: skip
    write_figures("vae-baseline", words, rounded(figures))


if __name__ == "__main__":
    main()
