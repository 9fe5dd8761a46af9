"""Libraries that take any conforming array: their own group, run by pytest -m friends."""

import doctest
from pathlib import Path

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.testing import check_grads

pytestmark = pytest.mark.friends

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)
X, Y = RNG.uniform(0.2, 2.0, size=6), RNG.uniform(0.2, 2.0, size=6)
POINTS, OTHERS = RNG.normal(size=(8, 3)), RNG.normal(size=(5, 3))
COVARIANCE = np.cov(POINTS.T) + np.eye(3)
IMAGES = RNG.normal(size=(2, 4, 6))


@pytest.fixture(scope="module")
def names():
    """Import the friends, SciPy in its array API mode, under the names that the calls use."""
    for name in ("scipy", "sklearn", "einops", "array_api_extra", "array_api_compat"):
        pytest.importorskip(name, reason="pip install tinygraph[friends]")
    import array_api_compat as xpc
    import array_api_extra as xpx
    import einops.array_api as einops
    import scipy.cluster
    import scipy.fft
    import scipy.integrate
    import scipy.interpolate
    import scipy.linalg
    import scipy.ndimage
    import scipy.optimize
    import scipy.signal
    import scipy.sparse
    import scipy.spatial
    import scipy.stats
    import sklearn.decomposition
    import sklearn.discriminant_analysis
    import sklearn.kernel_approximation
    import sklearn.linear_model
    import sklearn.metrics
    import sklearn.preprocessing as preprocessing
    from einops import rearrange

    with sklearn.config_context(array_api_dispatch=True):
        yield {
            "np": np, "tg": tg, "scipy": scipy, "stats": scipy.stats, "special": scipy.special,
            "sklearn": sklearn, "preprocessing": preprocessing,
            "pairwise": sklearn.metrics.pairwise, "decomposition": sklearn.decomposition,
            "discriminant_analysis": sklearn.discriminant_analysis,
            "kernel_approximation": sklearn.kernel_approximation,
            "linear_model": sklearn.linear_model, "metrics": sklearn.metrics,
            "einops": einops, "rearrange": rearrange, "xpx": xpx, "xpc": xpc,
            "CLASSES": lambda x: xpc.array_namespace(x).asarray([0, 1, 1, 0, 1, 0, 0, 1]),
        }  # fmt: skip


# One call a line, as a user writes it: its text is the test's name.
CALLS = {
    "X": """
        special.logsumexp(x)
        special.softmax(x)
        special.log_softmax(x)
        special.erf(x)
        special.gammaln(x)
        special.log_ndtr(x)
        special.psi(x)
        special.gammainc(1.0, x)
        stats.ttest_1samp(x, 0.2).pvalue
        stats.gmean(x)
        stats.hmean(x)
        stats.pmean(x, 3)
        stats.skew(x)
        stats.kurtosis(x)
        stats.moment(x, 3)
        stats.sem(x)
        stats.zscore(x)
        stats.gzscore(x)
        stats.iqr(x)
        stats.quantile(x, 0.3)
        stats.entropy(x)
        stats.differential_entropy(x)
        stats.circmean(x)
        stats.circstd(x)
        stats.kstat(x, 4)
        stats.boxcox_llf(0.3, x)
        stats.median_abs_deviation(x)
        scipy.fft.rfft(x).real
        scipy.fft.irfft(x)
        scipy.fft.hfft(x)
        scipy.fft.fht(x, 0.1, 0.0)
        scipy.signal.freqz(x, worN=5)[1].imag
        scipy.integrate.trapezoid(x, dx=0.2)
        scipy.integrate.cumulative_trapezoid(x, dx=0.2)
        scipy.integrate.cumulative_simpson(x, dx=0.2)
        scipy.integrate.romb(x[:5], dx=0.2)
        scipy.integrate.cubature(lambda t: t**2 * x[0], x[1:2], x[2:3]).estimate
        scipy.optimize.rosen(x)
        scipy.optimize.rosen_der(x)
        scipy.optimize.rosen_hess(x)
        scipy.spatial.transform.Rotation.from_quat(x[:4]).as_matrix()
        scipy.spatial.transform.Rotation.from_rotvec(x[:3]).apply(x[3:])
        xpx.sinc(x)
        xpx.pad(x, 2)
        xpx.create_diagonal(x)
        xpx.atleast_nd(x, ndim=3)
        xpx.partition(x, 2)
        xpx.angle(x + 1j * x**2)
        xpx.apply_where(x > 1, x, xpc.array_namespace(x).log, xpc.array_namespace(x).exp)
        xpx.at(x * 1.0, 2).set(x[0], copy=True)
        xpx.union1d(x, x[:3])
        xpx.setdiff1d(x, x[:3])
    """,
    "X, Y": """
        special.logsumexp(x, b=y)
        special.xlogy(x, y)
        special.rel_entr(x, y)
        stats.entropy(x, y)
        stats.zmap(x, y)
        scipy.signal.fftconvolve(x, y)
        scipy.signal.oaconvolve(x, y)
        xpx.kron(x, y)
    """,
    "POINTS": """
        scipy.cluster.vq.whiten(x)
        xpx.cov(x.T)
        pairwise.rbf_kernel(x)
        preprocessing.MinMaxScaler().fit_transform(x)
        preprocessing.MaxAbsScaler().fit_transform(x)
        preprocessing.Normalizer().fit_transform(x)
        preprocessing.PolynomialFeatures(3).fit_transform(x)
        kernel_approximation.Nystroem(n_components=3, random_state=0).fit_transform(x)
        decomposition.PCA(2, svd_solver="full").fit(x).explained_variance_
        decomposition.PCA(2, svd_solver="full").fit_transform(x)
        discriminant_analysis.LinearDiscriminantAnalysis().fit(x, CLASSES(x)).decision_function(x)
    """,
    "POINTS, OTHERS": """
        pairwise.euclidean_distances(x, y)
        pairwise.manhattan_distances(x, y)
        pairwise.cosine_similarity(x, y)
        pairwise.polynomial_kernel(x, y)
        pairwise.sigmoid_kernel(x, y)
        pairwise.laplacian_kernel(x, y)
    """,
    "POINTS, POINTS[:, 0] ** 2": """
        linear_model.Ridge(alpha=0.5, solver="svd").fit(x, y).predict(x)
    """,
    "COVARIANCE": """
        preprocessing.KernelCenterer().fit_transform(x)
    """,
    "IMAGES": """
        einops.rearrange(x, "b (h two) w -> b h (two w)", two=2)
        einops.reduce(x, "b (h two) (w three) -> b h w", "mean", two=2, three=3)
        einops.reduce(x, "b h w -> b h", "max")
        einops.repeat(x, "b h w -> (b h) w c", c=3)
        einops.pack([x, x[:, 0]], "b * w")[0]
        einops.unpack(x, [(2,), (2,)], "b * w")[0]
    """,
}  # fmt: skip


def written(lines):
    return map(str.strip, lines.strip().splitlines())


@pytest.mark.parametrize(
    ("operands", "call"),
    [(operands, call) for operands, lines in CALLS.items() for call in written(lines)],
)
def test_a_tensor_is_taken_and_the_gradient_flows_through(operands, call, names):
    function = eval(f"lambda x, y=None: {call}", names)
    operands = eval(f"{operands},")
    result = function(*[tg.tensor(one, requires_grad=True) for one in operands])
    assert isinstance(result, tg.Tensor)
    assert result.requires_grad
    np.testing.assert_allclose(result.numpy(), function(*operands), rtol=1e-12, atol=1e-14)
    check_grads(function, operands)


# ---------------------------------------------------------------- what does not work says so

LOST = "numpy.asarray of this Tensor would lose its gradient"
REFUSED = {
    LOST: """
        stats.norm.logpdf(x)
        scipy.linalg.cholesky(x * np.eye(6))
        scipy.interpolate.CubicSpline(x * 0 + tg.arange(6), x)
        scipy.ndimage.gaussian_filter(x, 1.0)
        scipy.fft.dct(x)
        scipy.signal.convolve(x, x, method="direct")
        special.spence(x)
        xpx.lazy_apply(np.sort, x, as_numpy=True)
        linear_model.LinearRegression().fit(x[:, None], x)
        scipy.sparse.eye_array(6) @ x
    """,
    "Multiple namespaces": """
        scipy.signal.lfilter([1.0], [1.0, 0.3], x)
        scipy.interpolate.CubicSpline(np.arange(6.0), x)
    """,
    "a number would leave the function": """
        metrics.mean_squared_error(x, 2 * x)
        metrics.r2_score(x, 2 * x)
        metrics.log_loss(tg.asarray([0, 1, 0, 1, 1, 0]), x / 3)
        linear_model.LogisticRegression().fit(x[:, None], tg.asarray([0, 1, 0, 1, 1, 0])).coef_
    """,
    "Tensor type unknown to einops": """
        rearrange(x, "a -> a 1")[0]
    """,
}


@pytest.mark.parametrize(
    ("message", "call"),
    [(message, call) for message, lines in REFUSED.items() for call in written(lines)],
)
@pytest.mark.parametrize("transform", ["grad", "jvp"])
def test_what_would_lose_a_gradient_is_an_error(message, call, transform, names):
    function = eval(f"lambda x: {call}", names)
    with pytest.raises((tg.TinygraphError, TypeError, RuntimeError), match=message):
        tg.grad(function)(X) if transform == "grad" else tg.jvp(function, (X,), (X,))


def test_what_leaves_the_graph_in_backward_mode_warns_and_is_refused(names):
    x = tg.tensor(X, requires_grad=True)
    leaving = pytest.warns(UserWarning, match="__dlpack__: this Tensor leaves the graph here")
    with leaving, pytest.raises(ValueError, match="array element") as caught:
        names["linear_model"].LogisticRegression().fit(x[:, None], tg.asarray(X > 1))
    assert "Say so with .item()" in str(caught.value.__cause__)


def test_functions_that_write_into_entries_of_their_own_arrays(names):
    check_grads(names["stats"].variation, (X + 3.0,))
    check_grads(names["stats"].lmoment, (X,))


# ---------------------------------------------------------------- the pages


def examples(page):
    return doctest.DocTestParser().get_examples((ROOT / "docs" / page).read_text("utf-8"))


def test_what_the_page_of_friends_skips_elsewhere(names):
    text = (ROOT / "docs" / "friends.md").read_text("utf-8").replace("# doctest: +SKIP", "")
    text = text.partition("## What does not work")[0].replace("```", "")
    test = doctest.DocTestParser().get_doctest(text, {}, "friends.md", "friends.md", 0)
    said = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not said, "".join(said)


def test_einops_inside_the_gaussian_process(names):
    page = {}
    for example in examples("gaussian_process.md"):
        exec(example.source, page)
    images = page["test_images"][:10].astype(float)

    def pooled(images):
        return names["einops"].reduce(images, "n 1 (h a) (w b) -> n (h w)", "mean", a=4, b=4)

    def probabilities(x):
        return page["probability"](page["fit"].x, x)

    pixels = tg.grad(lambda images: tg.sum(probabilities(pooled(images))))(images)
    blocks = tg.grad(lambda x: tg.sum(probabilities(x)))(pooled(images))
    spread = names["einops"].repeat(blocks, "n (h w) -> n 1 (h a) (w b)", h=7, a=4, b=4) / 16
    np.testing.assert_allclose(pixels, spread, rtol=1e-10, atol=1e-14)


def test_a_gradient_of_one_friend_is_the_value_of_another(names):
    special = names["special"]
    np.testing.assert_allclose(tg.grad(special.logsumexp)(X), special.softmax(X))
    np.testing.assert_allclose(
        tg.hessian(names["scipy"].optimize.rosen)(X), names["scipy"].optimize.rosen_hess(X)
    )
