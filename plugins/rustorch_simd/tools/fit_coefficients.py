"""Derive the coefficients in src/functions.h: `python tools/fit_coefficients.py` (needs numpy and mpmath).

Minimax fits by Lawson's reweighting on Chebyshev points. Coefficients are rounded to float32 from the constant term
up, and those that remain are fitted again to what the rounding left over.
"""

import mpmath
import numpy as np

mpmath.mp.dps = 40
ROUNDS = 300


def chebyshev_points(low, high, count=600):
    return (low + high) / 2 - (high - low) / 2 * np.cos(np.pi * (np.arange(count) + 0.5) / count)


def values(function, points):
    return np.array([float(function(mpmath.mpf(point))) for point in points])


def minimax(matrix, target):
    """The x that minimises max |matrix @ x - target|."""
    weight, best = np.ones(len(target)), (np.inf, None)
    columns = np.abs(matrix).max(axis=0)
    for _ in range(ROUNDS):
        root = np.sqrt(weight)
        x = np.linalg.lstsq(matrix / columns * root[:, None], target * root, rcond=1e-17)[0] / columns
        error = np.abs(matrix @ x - target)
        best = min(best, (error.max(), x), key=lambda pair: pair[0])
        weight = weight * (error / error.max() + 1e-4)
        weight /= weight.max()
    return best[1]


def polynomial(points, target, weight, degree):
    """float32 coefficients of the polynomial that minimises max weight * |polynomial - target|, and that error."""
    left, coefficients = target.copy(), []
    for power in range(degree + 1):
        powers = np.stack([points**p for p in range(power, degree + 1)], axis=1)
        coefficients.append(float(np.float32(minimax(powers * weight[:, None], left * weight)[0])))
        left -= coefficients[-1] * points**power
    return coefficients, np.abs(left * weight).max()


def rational(points, target, above_degree, below_degree, rounds=400):
    """float32 coefficients of P and Q, Q(0) = 1, that make P / Q near target, relatively; and that error."""
    weight, denominator = np.ones(len(points)), np.ones(len(points))
    for _ in range(rounds):
        above = np.stack([points**p for p in range(above_degree + 1)], axis=1)
        below = np.stack([points**p for p in range(1, below_degree + 1)], axis=1) * -target[:, None]
        matrix = np.concatenate([above, below], axis=1) / (target * denominator)[:, None]
        root, columns = np.sqrt(weight), np.linalg.norm(matrix * np.sqrt(weight)[:, None], axis=0)
        x = np.linalg.lstsq(matrix / columns * root[:, None], root / denominator, rcond=1e-16)[0] / columns
        denominator = 1 + below @ x[above_degree + 1 :] / -target
        error = np.abs(above @ x[: above_degree + 1] / denominator / target - 1)
        weight *= error / error.max() + 1e-3
        weight /= weight.max()
    q = [1.0, *(float(np.float32(c)) for c in x[above_degree + 1 :])]
    denominator = np.polynomial.polynomial.polyval(points, q)
    p, error = polynomial(points, target * denominator, 1 / (target * denominator), above_degree)
    return p, q, error


def show(title, error, **polynomials):
    print(f"{title}: error {error:.2g}")
    for name, coefficients in polynomials.items():
        print(f"  {name}, highest power first: " + ", ".join(f"{np.float32(c):.8e}f" for c in reversed(coefficients)))


def main():
    # (e^r - 1 - r) / r^2; the error is that of e^r - 1, relatively.
    points = chebyshev_points(-0.35, 0.35)
    q, error = polynomial(
        points,
        values(lambda r: (mpmath.expm1(r) - r) / r**2, points),
        points**2 / np.abs(np.expm1(points)),
        degree=4,
    )
    show("expm1 near zero", error, q=q)

    # -log(erfc(t)) / t - 1; the error is that of erf(t), relatively.
    points = chebyshev_points(1e-6, 4.0)
    target = values(lambda t: -mpmath.log(mpmath.erfc(t)) / t - 1, points)
    erf = values(mpmath.erf, points)
    p, error = polynomial(points, target, points * (1 - erf) / erf, degree=8)
    show("erf", error, p=p)

    # Phi(-t) * e^(t^2 / 2), Mills' ratio over sqrt(2 pi); relative error.
    points = np.sort(np.concatenate([chebyshev_points(0, 3), chebyshev_points(0, 14.6)]))
    target = values(lambda t: mpmath.erfc(t / mpmath.sqrt(2)) / 2 * mpmath.exp(t * t / 2), points)
    p, q, error = rational(points, target, 4, 5)
    show("tail of the normal distribution", error, p=p, q=q)


if __name__ == "__main__":
    main()
