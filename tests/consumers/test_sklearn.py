"""scikit-learn on tensors, under `array_api_dispatch=True`: what it declares to take any array."""

from collections.abc import Iterator

import numpy as np
import pytest
import sklearn
from sklearn import metrics, mixture, model_selection, naive_bayes, pipeline, preprocessing, utils
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import (
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
)
from sklearn.metrics import pairwise
from sklearn.utils import extmath

DRAW = np.random.default_rng(5)
CLASSES = np.repeat([0, 1, 2], 12)
ARRAYS = {
    "X": DRAW.standard_normal((36, 4)) + 1.5 * CLASSES[:, None] * np.array([1.0, -1.0, 0.5, 0.0]),
    "Y": DRAW.standard_normal((36, 4)),
    "P": DRAW.uniform(0.3, 3.0, (36, 4)),
    "T": DRAW.uniform(0.3, 3.0, 36),
    "S": DRAW.uniform(0.3, 3.0, 36),
    "W": DRAW.uniform(0.2, 1.0, 36),
    "U": DRAW.uniform(0.05, 0.95, 36),
    "Q": (lambda rows: rows / rows.sum(axis=1, keepdims=True))(DRAW.uniform(0.1, 1.0, (36, 3))),
    "C": CLASSES,
    "D": DRAW.permutation(CLASSES),
    "B": (CLASSES > 0).astype(np.int64),
    "E": (DRAW.permutation(CLASSES) > 0).astype(np.int64),
    "L": (DRAW.uniform(size=(36, 3)) > 0.5).astype(np.int64),
}
MODULES = (extmath, metrics, mixture, model_selection, naive_bayes, pairwise, pipeline, preprocessing, utils)
LINEAR = (LogisticRegression, PoissonRegressor, Ridge, RidgeCV, RidgeClassifier, RidgeClassifierCV)
ESTIMATORS = (*LINEAR, LinearDiscriminantAnalysis, Nystroem, PCA)
NAMES = {each.__name__.rpartition(".")[2]: each for each in (*MODULES, *ESTIMATORS)}

#: What is made of the standard's functions all the way, and so has a gradient.
DIFFERENTIABLE = """
preprocessing.StandardScaler().fit_transform(X)
preprocessing.StandardScaler(with_mean=False).fit(X, sample_weight=W).transform(Y)
preprocessing.StandardScaler().fit(X).inverse_transform(Y)
preprocessing.StandardScaler().fit(X).var_
preprocessing.MinMaxScaler().fit_transform(X)
preprocessing.MinMaxScaler((-1, 2), clip=True).fit(X).inverse_transform(Y)
preprocessing.MaxAbsScaler().fit_transform(X)
preprocessing.Normalizer().fit_transform(X)
preprocessing.Normalizer("l1").fit_transform(X)
preprocessing.Normalizer("max").fit_transform(X)
preprocessing.PolynomialFeatures(2).fit_transform(X)
preprocessing.PolynomialFeatures((2, 3), interaction_only=True, include_bias=False).fit_transform(X)
preprocessing.KernelCenterer().fit_transform(X @ X.T)
preprocessing.normalize(X, norm="l2")
preprocessing.minmax_scale(X)
PCA(2, svd_solver="full").fit(X).components_
PCA(2, svd_solver="full", whiten=True).fit_transform(X)
PCA(2, svd_solver="covariance_eigh").fit(X).transform(Y)
PCA(svd_solver="full").fit(X).explained_variance_ratio_
PCA(2, svd_solver="full").fit(X).inverse_transform(Y[:, :2])
PCA(2, svd_solver="full").fit(X).score_samples(Y)
PCA(2, svd_solver="full").fit(X).get_covariance()
Nystroem(kernel="rbf", n_components=5, random_state=0).fit_transform(X)
Nystroem(kernel="linear", n_components=3, random_state=0).fit(X).transform(Y)
Ridge(solver="svd").fit(X, T).coef_
Ridge(alpha=0.5, solver="svd").fit(X, T, sample_weight=W).predict(Y)
Ridge(solver="svd", fit_intercept=False).fit(X, Y).predict(Y)
RidgeCV((0.5, 2.0)).fit(X, T).coef_
RidgeCV((0.5, 2.0)).fit(X, T).predict(Y)
RidgeClassifier(solver="svd").fit(X, C).decision_function(Y)
RidgeClassifierCV((0.5, 2.0)).fit(X, C).decision_function(Y)
LinearDiscriminantAnalysis().fit(X, C).predict_proba(Y)
LinearDiscriminantAnalysis().fit(X, C).transform(Y)
naive_bayes.GaussianNB().fit(X, C).predict_proba(Y)
naive_bayes.GaussianNB().fit(X, C, sample_weight=W).predict_joint_log_proba(Y)
pipeline.make_pipeline(preprocessing.StandardScaler(), PCA(2, svd_solver="full")).fit_transform(X)
pipeline.make_union(preprocessing.StandardScaler(), PCA(2, svd_solver="full")).fit_transform(X)
metrics.mean_squared_error(T, S, multioutput="raw_values")
metrics.mean_absolute_error(T, S, sample_weight=W, multioutput="raw_values")
metrics.mean_squared_log_error(T, S, multioutput="raw_values")
metrics.root_mean_squared_error(P, X, multioutput="raw_values")
metrics.root_mean_squared_log_error(T, S, multioutput="raw_values")
metrics.mean_absolute_percentage_error(T, S, multioutput="raw_values")
metrics.median_absolute_error(T, S, multioutput="raw_values")
metrics.mean_pinball_loss(T, S, alpha=0.3, multioutput="raw_values")
metrics.r2_score(P, X, multioutput="raw_values")
metrics.explained_variance_score(P, X, multioutput="raw_values")
pairwise.euclidean_distances(X, Y)
pairwise.euclidean_distances(X, Y, squared=True)
pairwise.cosine_similarity(X, Y)
pairwise.cosine_distances(X, Y)
pairwise.manhattan_distances(X, Y)
pairwise.paired_euclidean_distances(X, Y)
pairwise.paired_cosine_distances(X, Y)
pairwise.paired_manhattan_distances(X, Y)
pairwise.linear_kernel(X, Y)
pairwise.rbf_kernel(X, Y, gamma=0.2)
pairwise.polynomial_kernel(X, Y, degree=2)
pairwise.sigmoid_kernel(X, Y)
pairwise.laplacian_kernel(X, Y)
pairwise.chi2_kernel(P, P * 2)
pairwise.additive_chi2_kernel(P, P * 2)
pairwise.pairwise_kernels(X, Y, metric="rbf")
pairwise.pairwise_distances(X, Y, metric="euclidean")
extmath.row_norms(X)
extmath.softmax(X)
extmath.svd_flip(*xp.linalg.svd(X, full_matrices=False)[::2])
model_selection.train_test_split(X, random_state=0)
utils.resample(X, random_state=0)
utils.shuffle(X, random_state=0)
""".strip().splitlines()

#: What scikit-learn gives back as Python's number, as it does for NumPy, or as labels and counts.
FLAT = """
preprocessing.Binarizer(threshold=0.1).fit_transform(X)
preprocessing.LabelEncoder().fit_transform(D)
preprocessing.LabelEncoder().fit(C).inverse_transform(D)
preprocessing.LabelBinarizer().fit_transform(D)
preprocessing.label_binarize(D, classes=xp.arange(3))
PCA(2, svd_solver="randomized", random_state=0, power_iteration_normalizer="QR").fit(X).explained_variance_
PCA(2, svd_solver="full").fit(X).score(Y)
Ridge(solver="svd").fit(X, T).score(X, T)
RidgeClassifierCV((0.5, 2.0)).fit(X, C).predict(Y)
LinearDiscriminantAnalysis().fit(X, C).predict(Y)
LogisticRegression(solver="lbfgs").fit(X, C).predict(Y)
naive_bayes.GaussianNB().fit(X, C).predict(Y)
mixture.GaussianMixture(3, init_params="random_from_data", random_state=0).fit(X).predict(Y)
model_selection.cross_val_predict(LinearDiscriminantAnalysis(), X, C, cv=3)
model_selection.GridSearchCV(Ridge(solver="svd"), {"alpha": [0.5, 2.0]}, cv=3).fit(X, T).best_score_
metrics.accuracy_score(C, D)
metrics.balanced_accuracy_score(C, D)
metrics.confusion_matrix(C, D)
metrics.multilabel_confusion_matrix(C, D)
metrics.cohen_kappa_score(C, D)
metrics.precision_score(C, D, average="macro")
metrics.recall_score(C, D, average=None)
metrics.f1_score(C, D, average="weighted")
metrics.fbeta_score(C, D, beta=0.5, average="micro")
metrics.precision_recall_fscore_support(C, D)
metrics.jaccard_score(C, D, average="macro")
metrics.hamming_loss(C, D)
metrics.zero_one_loss(C, D)
metrics.class_likelihood_ratios(B, E)
metrics.log_loss(C, Q)
metrics.brier_score_loss(B, U)
metrics.d2_log_loss_score(C, Q)
metrics.d2_brier_score(B, U)
metrics.roc_auc_score(B, U)
metrics.roc_auc_score(C, Q, multi_class="ovr")
metrics.roc_curve(B, U)
metrics.det_curve(B, U)
metrics.precision_recall_curve(B, U)
metrics.average_precision_score(B, U)
metrics.confusion_matrix_at_thresholds(B, U)
metrics.mean_squared_error(T, S)
metrics.mean_tweedie_deviance(T, S, power=1.5)
metrics.mean_poisson_deviance(T, S)
metrics.mean_gamma_deviance(T, S)
metrics.d2_tweedie_score(T, S)
metrics.d2_absolute_error_score(T, S)
metrics.d2_pinball_score(T, S)
metrics.max_error(T, S)
metrics.r2_score(T, S)
metrics.accuracy_score(L, L[::-1, :])
metrics.f1_score(L, L[::-1, :], average="samples")
metrics.cluster.entropy(C)
metrics.cluster.rand_score(C, D)
metrics.cluster.adjusted_rand_score(C, D)
metrics.cluster.mutual_info_score(C, D)
metrics.cluster.v_measure_score(C, D)
utils.multiclass.type_of_target(C) == "multiclass"
""".strip().splitlines()

#: What is fitted by SciPy's compiled solvers: values come back as tensors, a gradient is refused.
COMPILED = """
LogisticRegression(solver="lbfgs").fit(X, C).predict_proba(Y)
PoissonRegressor().fit(X, T).predict(Y)
""".strip().splitlines()


@pytest.fixture(autouse=True)
def dispatch() -> Iterator[None]:
    with sklearn.config_context(array_api_dispatch=True):
        yield


@pytest.mark.parametrize("expression", DIFFERENTIABLE)
def test_values(calls, expression):
    calls(ARRAYS, NAMES).check_values(expression)


@pytest.mark.needs("host memory")
@pytest.mark.parametrize("expression", [*COMPILED, *FLAT])
def test_values_from_host_memory(calls, expression):
    calls(ARRAYS, NAMES).check_values(expression)


@pytest.mark.parametrize("expression", DIFFERENTIABLE)
def test_gradients(calls, expression):
    calls(ARRAYS, NAMES).check_gradient(expression)


@pytest.mark.needs("host memory")
@pytest.mark.parametrize("expression", COMPILED)
def test_compiled_code_says_that_it_has_no_gradient(calls, expression):
    calls(ARRAYS, NAMES).check_no_gradient(expression)
