"""A training round of each method as short as it is written by hand, for the default options in the plane.

``LOOPS[method](copy, config, batch, rng)`` returns what plays round ``index`` and the optimizers by the
player that they move. The equations, networks, batches and the order of random draws are the
method's, so that both can be seen to arrive at the same weights; there are no checks, logs or options.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import normalize, relu, softplus

Play = Callable[[int], None]
Optimizers = Mapping[str, torch.optim.Optimizer]
LOG_2_PI, LIMIT = math.log(2 * math.pi), math.log(1e6 - 1)
"""LIMIT: of logits and log-variances of a belief network."""


def adam(config: Any, player: str, *parts: Any) -> torch.optim.Adam:
    """The player's fused Adam over the parameters of ``parts``."""
    options = getattr(config, f"{player}_optimizer")
    parameters = [
        p for part in parts for p in (part.parameters() if isinstance(part, nn.Module) else [part])
    ]
    return torch.optim.Adam(parameters, options.lr, options.betas, fused=True)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of those whom ``optimizer`` moves; the others get no gradient."""
    parameters = optimizer.param_groups[0]["params"]
    loss.backward(inputs=parameters)
    optimizer.step()
    optimizer.zero_grad()


def values_and_r1(critic: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.requires_grad_()
    f = critic(x)
    (slope,) = torch.autograd.grad(f.sum(), x, create_graph=True)
    return f, slope.square().sum(1).mean()


def gan(
    m: Any, config: Any, batch: Callable[[], Tensor], rng: Generator
) -> tuple[Play, Optimizers]:
    C, G = m.critic, m.generator
    critic, generator = adam(config, "critic", C), adam(config, "generator", G)

    def play(index: int) -> None:
        x = batch()
        z = torch.randn(len(x), 2, generator=rng)
        torch.rand(len(x), generator=rng)  # where a Wasserstein critic would be penalised
        with torch.no_grad():
            x_model = G(z)
        f, r1 = values_and_r1(C, x)
        descend(
            critic,
            softplus(-f).mean() + softplus(C(x_model)).mean() + 0.5 * config.r1_penalty_weight * r1,
        )
        z = torch.randn(len(x), 2, generator=rng)
        descend(generator, softplus(-C(G(z))).mean())

    return play, {"critic": critic, "generator": generator}


def vgan(
    m: Any, config: Any, batch: Callable[[], Tensor], rng: Generator
) -> tuple[Play, Optimizers]:
    E, G = m.energy, m.generator
    energy, generator = adam(config, "energy", E), adam(config, "generator", G)

    def with_surrogate(x: Tensor) -> Tensor:
        s = E.experts(x)
        mean = s.mean(0)
        H = (torch.special.entr(mean) + torch.special.entr(1 - mean)).sum()
        return E.energy_from_experts(s).mean() - H

    def play(index: int) -> None:
        x = batch()
        descend(generator, with_surrogate(G(torch.randn(len(x), 2, generator=rng))))
        with torch.no_grad():
            x_model = G(torch.randn(len(x), 2, generator=rng))
        descend(energy, with_surrogate(x) - E(x_model).mean())

    return play, {"generator": generator, "energy": energy}


def lbt(
    m: Any, config: Any, batch: Callable[[], Tensor], rng: Generator
) -> tuple[Play, Optimizers]:
    C, G, S = m.critic, m.generator, m.student
    critic, generator = adam(config, "critic", C), adam(config, "generator", G)
    K, b1, b2, eps = config.unrolled_student_steps, 0.5, 0.999, 1e-8
    rate = config.unrolled_student_lr
    shapes = [p.shape for p in S.parameters()]
    sizes = [p.numel() for p in S.parameters()]
    phi = torch.cat([p.detach().flatten() for p in S.parameters()])
    for p, part in zip(S.parameters(), phi.split(sizes), strict=True):
        p.data = part.view(p.shape)  # the student's parameters are parts of phi
    first, second, t = torch.zeros_like(phi), torch.zeros_like(phi), 0

    def ignorance(phi: Tensor, x: Tensor) -> Tensor:
        means, log_std, logits = (p.view(s) for p, s in zip(phi.split(sizes), shapes, strict=True))
        square = (x[:, None] - means).square() * torch.exp(-2 * log_std)
        component = -0.5 * (square + 2 * log_std).sum(-1)  # and a constant
        return -torch.logsumexp(component + torch.log_softmax(logits, 0), 1).mean()

    def step(g: Tensor, phi: Tensor, first: Tensor, second: Tensor, t: int, rate: float) -> Any:
        first, t = b1 * first + (1 - b1) * g, t + 1
        second = (b2 * second + (1 - b2) * g.square()).detach()
        size = rate * math.sqrt(1 - b2**t) / (1 - b1**t)
        return phi - size * first / torch.sqrt(second + eps), first, second, t

    def play(index: int) -> None:
        nonlocal first, second, t
        x = batch()
        n = len(x)
        for _ in range(config.student_steps_per_unroll_step * K):
            with torch.no_grad():
                x_model = G(torch.randn(n, 2, generator=rng))
            at = phi.detach().requires_grad_()
            (g,) = torch.autograd.grad(ignorance(at, x_model), at)
            lr = rate * config.student_lr_multiplier
            new, first, second, t = step(g, phi, first, second, t, lr)
            phi.copy_(new)
        with torch.no_grad():
            x_model = G(torch.randn(n, 2, generator=rng))
        f, r1 = values_and_r1(C, x)
        loss = softplus(-f).mean() + softplus(C(x_model)).mean()
        descend(critic, loss + 0.5 * config.r1_penalty_weight * r1)
        z = torch.randn(n, 2, generator=rng)
        z_k = torch.cat([torch.randn(n, 2, generator=rng) for _ in range(K)])
        at, carried = phi.detach().requires_grad_(), (first, second, t)
        for x_k in G(z_k).chunk(K):
            (g,) = torch.autograd.grad(ignorance(at, x_k), at, create_graph=True)
            at, *carried = step(g, at, *carried, rate)
        loss = config.gan_loss_weight * softplus(-C(G(z))).mean() + ignorance(at, x.detach())
        loss.backward(inputs=list(G.parameters()))
        nn.utils.clip_grad_norm_(G.parameters(), config.generator_optimizer.clip_grad_norm)
        generator.step()
        generator.zero_grad()

    return play, {"critic": critic, "generator": generator}


def cd(m: Any, config: Any, batch: Callable[[], Tensor], rng: Generator) -> tuple[Play, Optimizers]:
    E, energy = m.energy, adam(config, "energy", m.energy)
    h, std, chains = config.sampler.step_size, config.sampler.metropolis_step_std, config.chains
    x_model = torch.zeros(chains, 2)

    def slope(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.requires_grad_()
        u = E(x)
        return u.detach(), torch.autograd.grad(u.sum(), x)[0]

    def play(index: int) -> None:
        nonlocal x_model
        data = batch()
        x = torch.randn(chains, 2, generator=rng) if index == 0 else x_model
        u, g = slope(x)
        for _ in range(config.sampler.steps):
            xi = torch.randn(x.shape, generator=rng)
            coin = torch.rand(chains, generator=rng)
            there = torch.addcmul(x.detach() - h * g, xi, torch.tensor(math.sqrt(2 * h)))
            u_there, g_there = slope(there)
            w = (g + g_there) * math.sqrt(h / 2)
            taken = coin < torch.exp(u - u_there + (w * (xi - 0.5 * w)).sum(1))
            rows = taken[:, None]
            x = torch.where(rows, there.detach(), x.detach())
            u, g = torch.where(taken, u_there, u), torch.where(rows, g_there, g)
        there = x + std * torch.randn(x.shape, generator=rng)
        coin = torch.rand(chains, generator=rng)
        with torch.no_grad():
            taken = coin < torch.exp(u - E(there))
        x_model = torch.where(taken[:, None], there, x)
        descend(energy, E(data).mean() - E(x_model).mean())

    return play, {"energy": energy}


def nce(
    m: Any, config: Any, batch: Callable[[], Tensor], rng: Generator
) -> tuple[Play, Optimizers]:
    E, A, nu = m.energy, m.A, config.noise_ratio
    energy, eye = adam(config, "energy", A, E), torch.eye(2, dtype=torch.float64)
    mean, second = torch.zeros(2, dtype=torch.float64), eye.clone()

    def play(index: int) -> None:
        x = batch()
        if index == 0:
            m.initialise_A(len(x))
        wide = x.double()
        mean.lerp_(wide.mean(0), 1 / (index + 1))
        second.lerp_(wide.T @ wide / len(x), 1 / (index + 1))
        covariance = second - torch.outer(mean, mean)
        ridge = 1e-3 * covariance.diagonal().mean() * eye
        L = config.nce_noise_std_scale * torch.linalg.cholesky(covariance + ridge)
        xi = torch.randn(nu * len(x), 2, generator=rng, dtype=torch.float64)
        x_noise = (mean + xi @ L.T).float()
        white = torch.linalg.solve_triangular(L, (torch.cat([x, x_noise]) - mean).T, upper=False)
        log_noise = -0.5 * (white.square().sum(0) + 2 * LOG_2_PI) - L.diagonal().log().sum()
        of_data, of_noise = log_noise.float().split([len(x), len(x_noise)])
        data, noise = -E(x) - A - of_data, -E(x_noise) - A - of_noise
        log_nu = math.log(nu)
        descend(energy, softplus(log_nu - data).mean() + nu * softplus(noise - log_nu).mean())

    return play, {"energy": energy}


def gebm(
    m: Any, config: Any, batch: Callable[[], Tensor], rng: Generator
) -> tuple[Play, Optimizers]:
    E, G, A, floor = m.potential, m.generator, m.A, config.energy_floor
    energy, base = adam(config, "energy", A, E), adam(config, "base", G)

    def floored(x: Tensor) -> Tensor:
        return relu(E(x) + floor) - floor

    def play(index: int) -> None:
        burst = index % config.rounds_between_energy_bursts == 0
        for step in range(config.energy_burst_steps if burst else config.energy_steps):
            x = batch()
            if index == step == 0:
                m.initialise_A(len(x))
            z = torch.randn(len(x), 2, generator=rng)
            mix = torch.rand(len(x), generator=rng)[:, None]
            with torch.no_grad():
                y = G(z)
            kale = 1 - (floored(x) + A).mean() - torch.exp(-(floored(y) + A)).mean()
            between = (mix * x + (1 - mix) * y).requires_grad_()
            (slope,) = torch.autograd.grad(floored(between).sum(), between, create_graph=True)
            penalty = config.gradient_penalty_weight * slope.square().sum(1).mean()
            (penalty - kale).backward(inputs=energy.param_groups[0]["params"])
            A.grad = A.grad / (1 - A.grad).clamp_min(1e-2)
            for p in E.parameters():
                p.grad = 2 * p.grad / (1 + p.grad.square())
            energy.step()
            energy.zero_grad()
        x = batch()
        y = G(torch.randn(len(x), 2, generator=rng))
        descend(base, -torch.logsumexp(-floored(y), 0))  # E at the data does not move the base

    return play, {"energy": energy, "base": base}


def bidirectional(
    m: Any, config: Any, batch: Callable[[], Tensor], rng: Generator
) -> tuple[Play, Optimizers]:
    E, G, Q, d = m.energy, m.generator, m.entropy_estimator.encoder, config.latent_dim
    energy, generator = adam(config, "energy", E), adam(config, "generator", G, Q)
    low, high = config.score_matching_noise_min, config.score_matching_noise_max
    log_range, sigma = 2 * math.log(high / low), config.output_noise_std
    clean = 1 / math.sqrt(1 + low**2)

    def seen(x: Tensor, eps: Tensor) -> Tensor:
        return E(clean * x + low * clean * eps).mean()

    def play(index: int) -> None:
        x = batch()
        n = len(x)
        z = torch.randn(n, d, generator=rng)
        eps = torch.randn(3, n, 2, generator=rng)
        t = (torch.arange(n) / n + torch.rand((), generator=rng)) % 1.0
        eps_t = torch.randn(n, 2, generator=rng)
        with torch.no_grad():
            x_model = G(z) + sigma * eps[0]
        ratio = (low * (high / low) ** t)[:, None]
        alpha = (1 + ratio.square()).rsqrt()
        x_t = (alpha * x + ratio * alpha * eps_t).requires_grad_()
        (slope,) = torch.autograd.grad(E(x_t, t).sum(), x_t, create_graph=True)
        errors = (ratio * alpha * slope - eps_t).square().sum(1).mean()
        gap = config.upper_bound_penalty_weight * 0.5 * log_range * errors
        descend(energy, seen(x, eps[1]) - seen(x_model, eps[2]) + gap)
        z, eps_x = torch.randn(n, d, generator=rng), torch.randn(n, 2, generator=rng)
        eps_e = torch.randn(n, 2, generator=rng)
        x_model = G(z) + sigma * eps_x
        mean, log_variance = Q(x_model).chunk(2, 1)
        log_variance = log_variance.clamp(-14.0, 8.0)
        square = (z - mean).square() * torch.exp(-log_variance)
        log_q = -0.5 * (square + log_variance).sum(1).mean()  # and constants
        descend(generator, seen(x_model, eps_e) - config.entropy_weight * log_q)

    return play, {"energy": energy, "generator": generator}


def ebgan(
    m: Any, config: Any, batch: Callable[[], Tensor], rng: Generator
) -> tuple[Play, Optimizers]:
    E, G = m.energy, m.generator
    energy, generator = adam(config, "energy", E), adam(config, "generator", G)

    def play(index: int) -> None:
        x = batch()
        n = len(x)
        with torch.no_grad():
            x_model = G(torch.randn(n, 2, generator=rng))
        descend(energy, E(x).mean() + relu(config.margin - E(x_model)).mean())
        x_model = G(torch.randn(n, 2, generator=rng))
        codes = E.encoder(x_model)
        error = torch.linalg.vector_norm(E.decoder(codes) - x_model, dim=1).mean()
        directions = normalize(codes, dim=1)
        square = (directions @ directions.T).square()
        alike = (square.sum() - square.diagonal().sum()) / (n * (n - 1))
        descend(generator, error + config.pull_away * alike)

    return play, {"energy": energy, "generator": generator}


def vae(
    m: Any, config: Any, batch: Callable[[], Tensor], rng: Generator
) -> tuple[Play, Optimizers]:
    P, Q = m.decoder, m.encoder
    model = adam(config, "model", P, Q)

    def play(index: int) -> None:
        x = batch()
        eps = torch.randn(len(x), 2, generator=rng)
        mean, log_variance = Q(x).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_variance) * eps
        a, log_v = P(z).unbind(1)
        log_p = -0.5 * ((x - a).square() * torch.exp(-log_v) + log_v).sum(1).mean()
        kl = 0.5 * (mean.square() + log_variance.exp() - log_variance).sum(1).mean()
        descend(model, kl - log_p)  # but for constants

    return play, {"model": model}


def bihm(
    m: Any, config: Any, batch: Callable[[], Tensor], rng: Generator
) -> tuple[Play, Optimizers]:
    net, K = m.belief_network, config.latent_samples
    model = adam(config, "model", net)
    sizes = net.sizes[1:]

    def log_bits(h: Tensor, a: Tensor) -> Tensor:
        return (h * a - softplus(a)).sum(-1)

    def play(index: int) -> None:
        x = batch()
        u1, u2 = (torch.rand(K, len(x), n, generator=rng) for n in sizes)
        a1 = net.q[0](x).clamp(-LIMIT, LIMIT)
        h1 = (u1 < torch.sigmoid(a1)).float()
        a2 = net.q[1](h1).clamp(-LIMIT, LIMIT)
        h2 = (u2 < torch.sigmoid(a2)).float()
        q = log_bits(h1, a1) + log_bits(h2, a2)
        mean, log_variance = net.p[0](h1).chunk(2, -1)
        log_variance = log_variance.clamp(-LIMIT, LIMIT)
        square = (x - mean).square() * torch.exp(-log_variance)
        p = log_bits(h2, net.prior.clamp(-LIMIT, LIMIT)) + log_bits(
            h1, net.p[1](h2).clamp(-LIMIT, LIMIT)
        )
        p = p - 0.5 * (square + log_variance).sum(-1)  # and a constant
        omega = torch.softmax(0.5 * (p - q).detach(), 0)
        descend(model, -(omega * p + (omega - 1 / K) * q).sum(0).mean())

    return play, {"model": model}


LOOPS = {
    "gan": gan,
    "vgan": vgan,
    "lbt": lbt,
    "cd": cd,
    "nce": nce,
    "gebm": gebm,
    "bidirectional": bidirectional,
    "ebgan": ebgan,
    "vae": vae,
    "bihm": bihm,
}
