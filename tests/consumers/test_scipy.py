"""SciPy on tensors: what it declares to take any array, with NumPy's values and gradients by finite differences."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import (
    constants,
    differentiate,
    fft,
    integrate,
    interpolate,
    linalg,
    ndimage,
    optimize,
    signal,
    special,
    stats,
)
from scipy.cluster import hierarchy, vq
from scipy.optimize import elementwise
from scipy.signal import windows
from scipy.spatial.transform import RigidTransform, Rotation, Slerp

DRAW = np.random.default_rng(11)
ARRAYS = {
    "R": DRAW.standard_normal((7, 4)),
    "Q": DRAW.standard_normal((7, 4)),
    "P": DRAW.uniform(0.3, 3.0, (7, 4)),
    "H": DRAW.uniform(0.3, 3.0, (7, 4)),
    "U": DRAW.uniform(0.05, 0.95, (7, 4)),
    "V": DRAW.standard_normal(17),
    "W": DRAW.standard_normal(17) * 1.5,
    "S": DRAW.standard_normal(33),
    "B": DRAW.uniform(0.3, 3.0, 4),
    "A": DRAW.uniform(0.3, 3.0, 4),
    "Z": DRAW.uniform(-0.9, -0.1, 3),
    "N": DRAW.uniform(-0.9, -0.1, 3),
    "M": DRAW.standard_normal((3, 3)),
    "K": DRAW.standard_normal((2, 3)),
    "G": DRAW.standard_normal((3, 4)),
    "X": np.sort(DRAW.uniform(0, 5, 8)),
    "Y": DRAW.standard_normal(8),
    "T": DRAW.uniform(1, 4, 5),
    "C": DRAW.uniform(0.5, 1.5, 2),
    "L": DRAW.integers(0, 3, (7, 4)),
    "O": signal.butter(4, 0.3, output="sos"),
}
NAMES = {
    "RigidTransform": RigidTransform,
    "Rotation": Rotation,
    "Slerp": Slerp,
    "constants": constants,
    "differentiate": differentiate,
    "elementwise": elementwise,
    "fft": fft,
    "hierarchy": hierarchy,
    "integrate": integrate,
    "interpolate": interpolate,
    "linalg": linalg,
    "ndimage": ndimage,
    "np": np,
    "optimize": optimize,
    "signal": signal,
    "special": special,
    "stats": stats,
    "vq": vq,
    "windows": windows,
}

#: What stays on tensors all the way, and so has a gradient.
DIFFERENTIABLE = """
stats.gmean(P)
stats.gmean(P, axis=0, weights=H)
stats.hmean(P, axis=1)
stats.pmean(P, 3)
stats.tmean(R)
stats.tvar(R, axis=1)
stats.tstd(R)
stats.tsem(R, axis=None)
stats.tmin(R)
stats.tmax(R, axis=1)
stats.moment(R, order=3)
stats.skew(R)
stats.skew(R, axis=1, bias=False)
stats.skew(R, nan_policy="omit")
stats.kurtosis(R, fisher=False)
stats.kurtosis(R, axis=None)
stats.variation(P)
stats.describe(R).variance
stats.describe(R).kurtosis
stats.sem(R)
stats.zscore(R)
stats.zscore(R, axis=1, ddof=1)
stats.gzscore(P)
stats.zmap(R, Q)
stats.gstd(P)
stats.iqr(R, axis=0)
stats.iqr(R, axis=0, rng=(10, 80))
stats.median_abs_deviation(R)
stats.sigmaclip(V, 1.5, 1.5).clipped
stats.trim_mean(R, 0.2)
stats.mode(R).mode
stats.kstat(V, 3)
stats.kstatvar(V, 2)
stats.circmean(P)
stats.circvar(R)
stats.circstd(R, axis=1)
stats.directional_stats(R)
stats.lmoment(R, order=2)
stats.lmoment(R)
stats.entropy(P)
stats.entropy(P, H, axis=1)
stats.differential_entropy(V)
stats.differential_entropy(V, method="vasicek")
stats.differential_entropy(V, method="ebrahimi")
stats.quantile(R, xp.asarray(0.3), axis=0)
stats.quantile(R, xp.asarray(0.3), axis=0, method="harrell-davis")
stats.boxcox_llf(0.7, P)
stats.yeojohnson_llf(0.7, R)
stats.skewtest(V)
stats.kurtosistest(S)
stats.normaltest(S)
stats.jarque_bera(V)
stats.ttest_1samp(R, 0.1)
stats.ttest_1samp(R, 0.1, alternative="less", axis=1)
stats.ttest_1samp(V, 0.1).confidence_interval()
stats.ttest_ind(R, Q)
stats.ttest_ind(V, W, equal_var=False)
stats.ttest_rel(R, Q)
stats.ttest_ind_from_stats(B, A, 10, A, B, 12)
stats.pearsonr(V, W)
stats.pearsonr(R, Q, axis=0)
stats.pearsonr(V, W).confidence_interval()
stats.chisquare(P)
stats.chisquare(P, ddof=1, axis=1)
stats.power_divergence(P, lambda_="cressie-read")
stats.power_divergence(P, lambda_="log-likelihood")
stats.f_oneway(V, W)
stats.f_oneway(R, Q, equal_var=False)
stats.bartlett(V, W)
stats.levene(V, W)
stats.levene(V, W, center="mean")
stats.alexandergovern(V, W)
stats.epps_singleton_2samp(V, W)
stats.combine_pvalues(U[0, :])
stats.combine_pvalues(U[0, :], method="pearson")
stats.combine_pvalues(U[0, :], method="tippett")
stats.combine_pvalues(U[0, :], method="stouffer")
stats.combine_pvalues(U[0, :], method="mudholkar_george")
stats.false_discovery_control(U[0, :])
stats.bootstrap((V,), xp.mean, n_resamples=20, rng=np.random.default_rng(3), method="percentile").confidence_interval
stats.permutation_test((V, W), lambda a, b, axis: xp.mean(a, axis=axis) * xp.max(b), n_resamples=9).statistic
special.gamma(P)
special.gammaln(P)
special.rgamma(P)
special.psi(P)
special.polygamma(2, P)
special.multigammaln(P + 1, 2)
special.erf(R)
special.erfc(R)
special.erfcx(R)
special.erfinv(U)
special.expit(R)
special.logit(U)
special.log_ndtr(R)
special.ndtr(R)
special.ndtri(U)
special.entr(P)
special.rel_entr(P, H)
special.kl_div(P, H)
special.xlogy(P, H)
special.xlog1py(P, H)
special.i0(R)
special.i0e(R)
special.i1(R)
special.i1e(R)
special.exp2(R)
special.exp10(R)
special.exprel(R)
special.cbrt(P)
special.cosm1(R)
special.sinc(R)
special.sindg(R)
special.cosdg(R)
special.tandg(R)
special.cotdg(P)
special.boxcox(P, H)
special.boxcox1p(P, R)
special.inv_boxcox(P, H)
special.inv_boxcox1p(P, H)
special.huber(P, R)
special.pseudo_huber(P, R)
special.betaln(P, H)
special.binom(P + 3, H)
special.betainc(P, H, U)
special.betaincc(P, H, U)
special.gammainc(P, H)
special.gammaincc(P, H)
special.chdtr(P, H)
special.chdtrc(P, H)
special.fdtr(P, H, U)
special.fdtrc(P, H, U)
special.stdtr(P, R)
special.zeta(P + 1)
special.zeta(P + 1, H)
special.logsumexp(R)
special.logsumexp(R, axis=1, b=P, keepdims=True)
special.logsumexp(R, axis=0, b=Q, return_sign=True)
special.softmax(R, axis=1)
special.log_softmax(R, axis=1)
fft.fft(R)
fft.fft(R, n=9, axis=0, norm="ortho")
fft.ifft(R)
fft.rfft(S)
fft.irfft(R)
fft.hfft(R)
fft.ihfft(R)
fft.fft2(R)
fft.ifft2(R)
fft.rfft2(R)
fft.irfft2(R)
fft.hfft2(R)
fft.ihfft2(R)
fft.fftn(R)
fft.ifftn(R)
fft.rfftn(R)
fft.irfftn(R)
fft.hfftn(R)
fft.ihfftn(R)
fft.fftshift(R)
fft.ifftshift(R)
fft.fht(S, 0.1, 0.5)
fft.ifht(S, 0.1, 0.5)
signal.convolve(S, V, mode="same", method="fft")
signal.correlate(S, V, method="fft")
signal.fftconvolve(R, Q, mode="same")
signal.oaconvolve(S, V)
signal.hilbert(S)
signal.hilbert2(R)
signal.envelope(S, (None, None))
signal.resample(S, 20)
signal.vectorstrength(V, 1.7)
signal.gauss_spline(V, 3)
signal.minimum_phase(xp.concat([B, B / 5, A / 9]))
signal.freqz(B, worN=8)
signal.freqz(B, A, worN=8)
signal.freqz_zpk(Z, N, 1.5, 8)
signal.freqs(B, A, xp.asarray([0.1, 1.0, 3.0]))
signal.freqs_zpk(Z, N, 1.5, xp.asarray([0.1, 1.0]))
signal.zpk2tf(Z, N, 1.5)
signal.sos2tf(O)
signal.bilinear_zpk(Z, N, 1.5, 2.0)
signal.lp2lp(B, A, 1.3)
signal.lp2hp(B, A, 1.3)
signal.lp2bp(B, A, 1.3, 0.4)
signal.lp2bs(B, A, 1.3, 0.4)
signal.lp2lp_zpk(Z, N, 1.2, 1.3)
signal.lp2hp_zpk(Z, N, 1.2, 1.3)
signal.lp2bp_zpk(Z, N, 1.2, 1.3, 0.4)
signal.lp2bs_zpk(Z, N, 1.2, 1.3, 0.4)
signal.normalize(B, A)
signal.lfiltic(B[:2], B, V[:3])
integrate.trapezoid(R)
integrate.trapezoid(Y, X)
integrate.cumulative_trapezoid(R, dx=0.3, initial=0)
integrate.cumulative_simpson(R, dx=0.3)
integrate.romb(S)
integrate.tanhsinh(lambda t: xp.exp(-t * t), C - 1, C).integral
integrate.tanhsinh(lambda t, c: xp.exp(-c * t * t), C * 0, C * 0 + 1, args=(C,)).integral
integrate.nsum(lambda k, c: 1 / k**2 / c, C * 0 + 1, C * 0 + 9, args=(C,)).sum
integrate.cubature(lambda t: xp.exp(-xp.sum(t * t, axis=-1)), C - 1, C).estimate
interpolate.RBFInterpolator(R[:, :2], Q)(P[:, :2])
interpolate.RBFInterpolator(R[:, :2], Q[:, 0], kernel="gaussian", epsilon=1.3, smoothing=0.1)(P[:, :2])
optimize.rosen(V)
optimize.rosen_der(V)
optimize.rosen_hess(B)
optimize.rosen_hess_prod(B, A)
elementwise.find_root(lambda t, c: t**3 - c, (B * 0, B * 0 + 3), args=(B,)).x
elementwise.find_minimum(lambda t, c: (t - c) ** 2, (B * 0 - 1, B * 0 + 0.1, B * 0 + 4), args=(B,)).x
differentiate.derivative(xp.sin, V).df
differentiate.derivative(lambda t, c: c * t**3, V[:2], args=(C,)).df
differentiate.jacobian(lambda t: xp.stack([xp.sin(t[0]) * t[1], t[0] ** 2]), C).df
differentiate.hessian(lambda t: xp.sin(t[0]) * t[1] ** 2, C).ddf
vq.whiten(R)
Rotation.from_quat(G).as_matrix()
Rotation.from_quat(G).as_rotvec()
Rotation.from_quat(G).as_euler("xyz")
Rotation.from_quat(G).as_mrp()
Rotation.from_rotvec(K).as_quat()
Rotation.from_euler("zyx", K).as_matrix()
Rotation.from_matrix(M + 3 * xp.eye(3)).as_quat()
Rotation.from_mrp(K).as_matrix()
Rotation.from_davenport(xp.asarray([1.0, 0.0, 0.0]), "extrinsic", V[:2, None]).as_matrix()
Rotation.from_quat(G[0, :]).apply(M)
(Rotation.from_quat(G[0, :]) * Rotation.from_rotvec(K)).as_rotvec()
Rotation.from_quat(G).inv().as_matrix()
(Rotation.from_quat(G) ** 0.5).as_matrix()
Rotation.from_quat(G).magnitude()
Rotation.from_quat(G).mean().as_matrix()
Rotation.from_quat(G)[1:].as_rotvec()
Rotation.align_vectors(R[:, :3], Q[:, :3])[0].as_matrix()
Slerp(xp.asarray([0.0, 5.0]), Rotation.from_rotvec(K))(T).as_rotvec()
RigidTransform.from_components(M, Rotation.from_quat(G)).apply(M)
RigidTransform.from_exp_coords(xp.concat([K, K], axis=1)).as_matrix()
RigidTransform.from_components(M, Rotation.from_quat(G)).as_exp_coords()
RigidTransform.from_components(M, Rotation.from_quat(G)).inv().as_matrix()
RigidTransform.from_components(M, Rotation.from_quat(G)).as_dual_quat()
linalg.orthogonal_procrustes(R, Q)
linalg.block_diag(R, Q)
linalg.fiedler(V)
constants.convert_temperature(V, "C", "K")
constants.lambda2nu(B)
constants.nu2lambda(B)
""".strip().splitlines()

#: What SciPy computes in compiled code of its own: values come back as tensors, a gradient is refused.
COMPILED = """
special.loggamma(P)
special.exp1(P)
special.expi(P)
special.ellipk(U)
special.j0(P)
special.y1(P)
special.k0e(P)
special.spence(P)
special.poch(P, H)
special.gammaincinv(P, U)
special.betaincinv(P, H, U)
fft.dct(R)
fft.idct(R)
fft.dst(R)
fft.dctn(R, type=1)
signal.convolve(S, V)
signal.correlate(S, V, method="direct")
signal.convolve2d(R, M, mode="same")
signal.correlate2d(R, M)
signal.detrend(R)
signal.resample_poly(S, 3, 2)
signal.upfirdn(B, S, 2, 1)
signal.savgol_filter(S, 5, 2)
signal.medfilt(S, 3)
signal.medfilt2d(R, 3)
signal.wiener(S, 3)
signal.order_filter(S, xp.ones(3), 1)
signal.lfilter(B, A, S)
signal.lfilter_zi(B, A)
signal.filtfilt(B, xp.ones(1), S)
signal.sosfilt(O, S)
signal.sosfiltfilt(O, S)
signal.sosfilt_zi(O)
signal.deconvolve(S, B)
signal.group_delay((B, A), 8)
signal.zpk2sos(Z, N, 1.5)
signal.tf2sos(B, A)
signal.bilinear(B, A)
signal.cspline1d(S)
signal.qspline1d(S)
signal.cspline1d_eval(S, T)
ndimage.gaussian_filter1d(R, 1.5)
ndimage.gaussian_filter(R, 1.5)
ndimage.gaussian_laplace(R, 1.5)
ndimage.gaussian_gradient_magnitude(R, 1.5)
ndimage.uniform_filter(R, 3)
ndimage.maximum_filter(R, 3)
ndimage.median_filter(R, 3)
ndimage.percentile_filter(R, 30, size=3)
ndimage.rank_filter(R, 2, size=3)
ndimage.generic_filter(R, np.mean, size=3)
ndimage.laplace(R)
ndimage.sobel(R)
ndimage.prewitt(R)
ndimage.spline_filter(R)
ndimage.convolve(R, M)
ndimage.correlate1d(R, B)
ndimage.shift(R, 0.5)
ndimage.rotate(R, 20)
ndimage.zoom(R, 1.5)
ndimage.map_coordinates(R, K)
ndimage.fourier_gaussian(R + 0j, 1.5)
ndimage.fourier_shift(R + 0j, 1.5)
ndimage.sum(R, L, xp.arange(1, 3))
ndimage.mean(R, L, xp.arange(1, 3))
ndimage.variance(R, L, xp.arange(1, 3))
ndimage.median(R)
ndimage.extrema(R)
ndimage.center_of_mass(R)
ndimage.grey_erosion(R, size=3)
ndimage.grey_closing(R, size=3)
ndimage.morphological_gradient(R, size=3)
ndimage.white_tophat(R, size=3)
interpolate.Akima1DInterpolator(X, Y)(T)
interpolate.CubicSpline(X, Y)(T)
interpolate.CubicHermiteSpline(X, Y, Y)(T)
interpolate.make_interp_spline(X, Y)(T)
interpolate.BSpline(xp.arange(11.0), Y, 2)(T + 2)
interpolate.PPoly(G, xp.arange(5.0))(U[:, 0])
interpolate.RegularGridInterpolator((xp.arange(7.0), xp.arange(4.0)), R)(U[:, :2])
vq.vq(R, Q[:2, :])
vq.kmeans(R, R[:2, :])
vq.kmeans2(R, R[:2, :], minit="matrix")
hierarchy.single(R)
hierarchy.average(R)
hierarchy.ward(R)
hierarchy.cophenet(hierarchy.linkage(R))
""".strip().splitlines()

#: What has no gradient by its nature: ranks, labels, counts, and what does not depend on the array's elements.
FLAT = """
stats.rankdata(R)
stats.mode(xp.round(R))
stats.spearmanrho(V, W)
stats.chatterjeexi(V, W)
stats.kruskal(V, W)
stats.friedmanchisquare(V, W, V * W)
stats.fligner(V, W)
stats.mood(V, W)
stats.ansari(V, W)
stats.mannwhitneyu(V, W, method="asymptotic")
stats.wilcoxon(V, W, method="asymptotic")
stats.brunnermunzel(V, W)
stats.cramervonmises_2samp(V, W, method="asymptotic")
stats.describe(R)
special.gammasgn(R)
special.pdtr(xp.floor(P), H)
fft.fftfreq(5, d=0.5, xp=xp)
fft.rfftfreq(6, d=0.5, xp=xp)
signal.savgol_coeffs(5, 2, xp=xp)
signal.firls(5, xp.asarray([0.0, 0.3, 0.5, 1.0]), xp.asarray([1.0, 1.0, 0.0, 0.0]))
windows.boxcar(8, xp=xp)
windows.triang(8, xp=xp)
windows.parzen(8, xp=xp)
windows.bohman(8, xp=xp)
windows.blackman(8, xp=xp)
windows.nuttall(8, xp=xp)
windows.blackmanharris(8, xp=xp)
windows.flattop(8, xp=xp)
windows.bartlett(8, xp=xp)
windows.hann(8, sym=False, xp=xp)
windows.tukey(8, 0.3, xp=xp)
windows.barthann(8, xp=xp)
windows.hamming(8, xp=xp)
windows.kaiser(8, 3.0, xp=xp)
windows.kaiser_bessel_derived(8, 3.0, xp=xp)
windows.gaussian(8, 2.0, xp=xp)
windows.general_gaussian(8, 1.5, 2.0, xp=xp)
windows.chebwin(8, 50.0, xp=xp)
windows.cosine(8, xp=xp)
windows.exponential(8, tau=2.0, xp=xp)
windows.taylor(8, xp=xp)
windows.lanczos(8, xp=xp)
windows.get_window(("kaiser", 4.0), 9, xp=xp)
ndimage.minimum_position(R)
ndimage.label(R > 0)
ndimage.histogram(R, -2, 2, 5)
ndimage.binary_erosion(R > -1)
ndimage.binary_dilation(R > 0)
ndimage.binary_opening(R > -1)
ndimage.binary_fill_holes(R > 0)
ndimage.binary_propagation(R > 0)
ndimage.distance_transform_edt(R > 0)
ndimage.distance_transform_cdt(R > 0)
elementwise.bracket_root(lambda t, c: t - c, B * 0, args=(B,)).bracket
elementwise.bracket_minimum(lambda t, c: (t - c) ** 2, B * 0, args=(B,)).bracket
hierarchy.leaves_list(hierarchy.linkage(R))
hierarchy.fcluster(hierarchy.linkage(R), 2.0, "distance")
hierarchy.is_valid_linkage(hierarchy.linkage(R))
Rotation.from_quat(G).approx_equal(Rotation.from_quat(G))
""".strip().splitlines()


def functions(expressions):
    return {re.match(r"\(?([\w.]+)", each)[1] for each in expressions}


def test_the_documentation_counts_what_is_here():
    with_gradient, compiled, flat = map(functions, (DIFFERENTIABLE, COMPILED, FLAT))
    text = Path(__file__, "../../../docs/consumers.md").resolve().read_text()
    assert f"Of {len(with_gradient | compiled | flat)} functions" in text
    assert f"{len(with_gradient)} stay on tensors" in text
    assert f"({len(DIFFERENTIABLE)} calls" in text
    assert f"{len(flat - with_gradient)} have none" in text
    assert f"{len(compiled - with_gradient)} leave for compiled code" in text


@pytest.mark.parametrize("expression", DIFFERENTIABLE)
def test_values(calls, expression):
    calls(ARRAYS, NAMES).check_values(expression)


@pytest.mark.needs("host memory")
@pytest.mark.parametrize("expression", [*COMPILED, *FLAT])
def test_values_from_compiled_code(calls, expression):
    calls(ARRAYS, NAMES).check_values(expression)


@pytest.mark.needs("host memory")
@pytest.mark.parametrize("expression", COMPILED)
def test_compiled_code_is_not_reached_from_other_devices(calls, expression):
    calls(ARRAYS, NAMES).check_other_device(expression)


@pytest.mark.parametrize("expression", DIFFERENTIABLE)
def test_gradients(calls, expression):
    calls(ARRAYS, NAMES).check_gradient(expression)


@pytest.mark.needs("host memory")
@pytest.mark.parametrize("expression", COMPILED)
def test_compiled_code_says_that_it_has_no_gradient(calls, expression):
    calls(ARRAYS, NAMES).check_no_gradient(expression)
