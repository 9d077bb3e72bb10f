//! The kernel against the naive hyper-dual reference: every option by itself, then random mixtures of them.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use rfp_kernel::simd::math::Elementary;
use rfp_kernel::{
    ACTIVATIONS, Activation, ClusterStatus, ExtraOutputs, Inner, LOSSES, Loss, Objective, StepSize, Threads, adapt,
    curvature, evaluate, hessian_vector, predict, predict_each,
};

use crate::common::problems::{narrowed, plain};
use crate::common::{Data, Problem, Reference, Shape, distance, eigenvalues, norm, widened};

/// Rounding of k + 1 passes, each a few hundred operations deep, stays two orders below the first; the second leaves
/// room for the k steps to amplify f32's rounding, which they do as they amplify any small change of θ.
fn tolerance<T: Elementary>() -> f64 {
    if T::SIZE == 8 { 1e-10 } else { 1e-4 }
}

/// A problem and what is asked of it.
#[derive(Clone, Debug)]
struct Case {
    shape: Shape,
    alpha: f64,
    inner: Inner,
}

impl Case {
    fn new(shape: Shape, alpha: f64, inner: Inner) -> Self {
        Self { shape, alpha, inner }
    }

    /// What the kernel is held against.
    fn reference(&self, problem: &Problem) -> Reference {
        let all: Vec<usize> = (0..problem.n_clusters()).collect();
        problem.reference(&all, self.alpha, &self.inner)
    }

    fn objective(&self) -> Objective {
        Objective { loss: self.shape.loss, alpha: self.alpha, inner: self.inner.clone(), skip_diverged: false }
    }
}

/// Largest relative error of everything that [`evaluate`] returns.
fn evaluation_error<T: Elementary>(case: &Case, problem: &Problem, expected: &Reference, wanted: ExtraOutputs) -> f64 {
    let data = Data::<T>::of(problem);
    let threads = Threads::serial();
    let net = &problem.net;
    let found = evaluate(net, &data.theta, &data.clusters(), None, &case.objective(), wanted, threads)
        .expect("the case does not diverge");
    // Where a derivative all but cancels, what is left is the rounding of terms as large as the loss.
    let floor = 1e-2 * expected.value.abs();
    let mut errors = vec![
        distance(&[found.value], &[expected.value], floor),
        distance(&widened(&found.gradient), &expected.gradient, floor),
    ];
    if let Some(rates) = &found.rate_gradient {
        errors.push(distance(&widened(rates), &expected.rate_gradient, floor));
    }
    if wanted.status {
        let scale = expected.clusters.iter().map(|c| c.before.abs()).fold(0.0, f64::max);
        errors.push(distance(&[found.alpha_gradient], &[expected.alpha_gradient], scale));
        assert_eq!(found.status.len(), problem.n_clusters());
        for (status, cluster) in found.status.iter().zip(&expected.clusters) {
            assert_eq!(status.diverged_step, None);
            let found = [status.loss_before, status.loss_after];
            errors.push(distance(&found, &[cluster.before, cluster.after], 1e-2 * scale));
        }
    }
    assert_eq!(found.n_skipped, 0);
    largest(&errors)
}

/// NaN counts as the largest.
fn largest(errors: &[f64]) -> f64 {
    errors.iter().fold(0.0, |a, &b| if b > a || b.is_nan() { b } else { a })
}

const ALL: ExtraOutputs = ExtraOutputs { rate_gradient: true, status: true };

fn check<T: Elementary>(case: &Case, problem: &Problem, expected: &Reference) {
    for wanted in [ExtraOutputs::default(), ALL] {
        let error = evaluation_error::<T>(case, problem, expected, wanted);
        assert!(error <= tolerance::<T>(), "error {error:e} with {wanted:?} in {case:?}");
    }
}

fn check_both(case: &Case) {
    let problem = case.shape.problem();
    let expected = case.reference(&problem);
    check::<f64>(case, &problem, &expected);
    check::<f32>(case, &problem, &expected);
}

/// Depths 0 to 3, with widths below, at and above a register's length.
fn hiddens() -> [Vec<usize>; 5] {
    [vec![], vec![1], vec![17], vec![3, 17], vec![9, 1, 8]]
}

#[test]
fn every_activation_at_every_depth() {
    for (_, activation) in ACTIVATIONS {
        for hidden in hiddens() {
            let shape = Shape { hidden, activation, outputs: 2, sizes: vec![4, 1], ..Shape::default() };
            check_both(&Case::new(shape, 0.3, plain(2, 0.05)));
        }
    }
}

#[test]
fn every_loss_with_one_to_six_outputs() {
    // The linear one has no name: it is what derivatives of the outputs are taken by.
    for (_, loss) in LOSSES.into_iter().chain([("", Loss::Linear)]) {
        for outputs in 1..=6 {
            let shape = Shape { hidden: vec![5], outputs, loss, sizes: vec![3, 7], ..Shape::default() };
            check_both(&Case::new(shape.clone(), 0.3, plain(2, 0.05)));
            check_both(&Case::new(Shape { hidden: vec![], ..shape }, 0.3, plain(2, 0.05)));
        }
    }
}

#[test]
fn every_number_of_steps_and_weight_of_the_loss_before() {
    for steps in 0..=5 {
        for alpha in [0.0, 0.3, 1.0] {
            check_both(&Case::new(Shape::default(), alpha, plain(steps, 0.05)));
        }
    }
}

#[test]
fn every_cluster_size_up_to_forty() {
    let sizes = (1..=40).collect();
    check_both(&Case::new(Shape { hidden: vec![4], inputs: 2, sizes, ..Shape::default() }, 0.3, plain(2, 0.05)));
}

#[test]
fn layers_wider_than_the_widest_tile() {
    // Two panels of columns in f64 on every instruction set, and tails of one.
    let shape = Shape { hidden: vec![33, 17], inputs: 3, sizes: vec![7, 2], ..Shape::default() };
    check_both(&Case::new(shape, 0.3, plain(1, 0.02)));
    // A width whose rows lie 512 bytes apart in f64, where the padding grows by a line.
    let shape = Shape { hidden: vec![64], inputs: 2, sizes: vec![3], ..Shape::default() };
    check_both(&Case::new(shape, 0.3, plain(2, 0.01)));
}

/// Few rows of wide layers, which take the dual form where nothing but R_k and its gradient is wanted.
#[test]
#[cfg_attr(slow, ignore = "takes a minute without optimization")]
fn few_rows_of_wide_layers() {
    let hiddens = [vec![60, 50], vec![130], vec![20, 40, 33]];
    for (i, (_, activation)) in ACTIVATIONS.into_iter().enumerate() {
        let hidden = hiddens[i % 3].clone();
        let inputs = if hidden.len() == 1 { 24 } else { 3 };
        let ((_, loss), outputs) = (LOSSES[i % LOSSES.len()], [1, 5, 2, 4, 3][i % 5]);
        let shape = Shape { inputs, hidden, outputs, activation, loss, sizes: vec![2, 1], ..Shape::default() };
        let shape = Shape { weighted: true, cluster_weighted: i % 2 == 0, seed: i as u64, ..shape };
        let inner = Inner { first_order: i == 2, ..plain(1 + i % 3, 0.02) };
        check_both(&Case::new(shape, [0.3, 0.0][i % 2], inner));
    }
}

/// Each option of the inner loop and of the data, by itself and with the others.
#[test]
fn every_option_alone_and_together() {
    let shapes = [
        Shape::default(),
        Shape { weighted: true, ..Shape::default() },
        Shape { cluster_weighted: true, ..Shape::default() },
        Shape { split: true, sizes: vec![6, 2, 11], ..Shape::default() },
        Shape { split: true, weighted: true, cluster_weighted: true, hidden: vec![5, 6], ..Shape::default() },
    ];
    for shape in shapes {
        let base = plain(3, 0.05);
        let mut inners = vec![
            base.clone(),
            Inner { momentum: 0.6, ..base.clone() },
            Inner { step_size: shape.rates(0.05), ..base.clone() },
            Inner { head_only: true, ..base.clone() },
            Inner { step_size: shape.rates(0.05), momentum: 0.6, head_only: true, ..base },
        ];
        inners.extend(inners.clone().into_iter().map(|inner| Inner { first_order: true, ..inner }));
        for inner in inners {
            for alpha in [0.0, 0.3, 1.0] {
                check_both(&Case::new(shape.clone(), alpha, inner.clone()));
            }
        }
    }
}

#[test]
fn some_clusters_only() {
    let shape = Shape { sizes: vec![4, 1, 6, 3, 2], ..Shape::default() };
    let problem = shape.problem();
    let data = Data::<f64>::of(&problem);
    let objective = Case::new(shape, 0.3, plain(2, 0.05)).objective();
    let only = [3, 0, 4];
    let expected = problem.reference(&only, 0.3, &objective.inner);
    let clusters = data.clusters();
    let wanted = ExtraOutputs::default();
    let found =
        evaluate(&problem.net, &data.theta, &clusters, Some(&only), &objective, wanted, Threads::serial()).unwrap();
    assert!(distance(&found.gradient, &expected.gradient, 0.0) <= 1e-10);
    assert!(distance(&[found.value], &[expected.value], 0.0) <= 1e-10);
}

/// The reference itself, against difference quotients of its own values: in θ, in α and in the steps.
#[test]
fn the_reference_agrees_with_difference_quotients() {
    let smooth = [Activation::Tanh, Activation::Silu, Activation::Gelu, Activation::Softplus];
    for ((_, loss), activation) in LOSSES.into_iter().zip(smooth.into_iter().cycle()) {
        let shape = Shape { hidden: vec![3], outputs: 2, sizes: vec![5, 3], loss, activation, ..Shape::default() };
        let shape = Shape { weighted: true, cluster_weighted: true, split: loss == Loss::Squared, ..shape };
        let problem = shape.problem();
        let inner = Inner { step_size: shape.rates(0.05), momentum: 0.5, ..plain(3, 0.05) };
        let reference = problem.reference(&[0, 1], 0.3, &inner);
        // At h, central differences err by h² and by rounding over h: both about 1e-10.
        let h = 1e-5;
        let quotient = |value: &dyn Fn(f64) -> f64| (value(h) - value(-h)) / (2.0 * h);
        let rates = problem.rates(&inner);
        let (mut by_theta, mut by_rate) = (Vec::new(), Vec::new());
        for i in 0..problem.theta.len() {
            let moved = |of: &[f64], by: f64| {
                of.iter().enumerate().map(|(j, x)| if i == j { x + by } else { *x }).collect::<Vec<_>>()
            };
            by_theta.push(quotient(&|h| problem.value(&moved(&problem.theta, h), 0.3, &inner)));
            let with = |h| Inner { step_size: StepSize::PerParameter(moved(&rates, h)), ..inner.clone() };
            by_rate.push(quotient(&|h| problem.value(&problem.theta, 0.3, &with(h))));
        }
        let by_alpha = quotient(&|h| problem.value(&problem.theta, 0.3 + h, &inner));
        assert!(distance(&reference.gradient, &by_theta, 0.0) < 1e-8, "{loss:?}");
        assert!(distance(&reference.rate_gradient, &by_rate, 0.0) < 1e-8, "{loss:?}");
        assert!(distance(&[reference.alpha_gradient], &[by_alpha], 0.0) < 1e-8, "{loss:?}");
        // One cluster's Hessian, from differences of gradients.
        let v = shape.direction();
        let along = |h: f64| {
            let theta = problem.theta.iter().zip(&v).map(|(t, v)| t + h * v).collect();
            Problem { theta, ..problem.clone() }.reference(&[0, 1], 0.0, &plain(0, 0.1)).gradient
        };
        if problem.n_support.is_none() {
            let quotients: Vec<f64> = along(h).iter().zip(along(-h)).map(|(a, b)| (a - b) / (2.0 * h)).collect();
            assert!(distance(&problem.hessian_vector(&v), &quotients, 0.0) < 1e-7, "{loss:?}");
        }
    }
}

/// Logits far out, where e^f overflows and the losses must not.
#[test]
fn losses_are_stable_at_extreme_logits() {
    for (loss, outputs) in
        [(Loss::Logistic, 1), (Loss::Logistic, 3), (Loss::Softmax, 3), (LOSSES[5].1, 2), (LOSSES[6].1, 2)]
    {
        for scale in [40.0, 2000.0] {
            let shape = Shape { hidden: vec![], outputs, loss, sizes: vec![9, 4], ..Shape::default() };
            let mut problem = shape.problem();
            problem.theta.iter_mut().for_each(|t| *t *= scale);
            for (alpha, steps) in [(1.0, 0), (0.3, 1)] {
                let case = Case::new(shape.clone(), alpha, plain(steps, 0.01));
                let expected = case.reference(&problem);
                check::<f64>(&case, &problem, &expected);
                check::<f32>(&case, &problem, &expected);
            }
        }
    }
}

/// Units far into their flat and straight parts, where φ″ and φ′ vanish and exponentials underflow.
#[test]
fn saturated_units() {
    for (_, activation) in ACTIVATIONS {
        let shape = Shape { hidden: vec![6, 5], activation, sizes: vec![7, 4], ..Shape::default() };
        let mut problem = shape.problem();
        // The first layer's W: pre-activations up to some hundreds.
        problem.theta[..3 * 6].iter_mut().for_each(|t| *t *= 200.0);
        let case = Case::new(shape, 0.3, plain(1, 1e-7));
        check::<f64>(&case, &problem, &case.reference(&problem));
    }
}

fn adapt_error<T: Elementary>(case: &Case, problem: &Problem, expected: &Reference) -> f64 {
    let data = Data::<T>::of(problem);
    let n = problem.net.n_parameters();
    let mut adapted = vec![T::default(); problem.n_clusters() * n];
    let threads = Threads::serial();
    let (loss, clusters) = (problem.loss, data.clusters());
    let status = adapt(&problem.net, &data.theta, &clusters, &case.inner, loss, &mut adapted, threads).unwrap();
    let mut errors = Vec::new();
    for ((found, status), expected) in adapted.chunks_exact(n).zip(status).zip(&expected.clusters) {
        errors.push(distance(&widened(found), &expected.adapted, 0.0));
        let ClusterStatus { diverged_step, loss_after, .. } = status;
        assert_eq!(diverged_step, None);
        errors.push(distance(&[loss_after], &[expected.after], 1e-2 * expected.before.abs()));
    }
    largest(&errors)
}

fn hessian_vector_error<T: Elementary>(case: &Case, problem: &Problem) -> f64 {
    let data = Data::<T>::of(problem);
    let v = case.shape.direction();
    let threads = Threads::serial();
    let (loss, clusters) = (problem.loss, data.clusters());
    let found = hessian_vector(&problem.net, &data.theta, &narrowed(&v), &clusters, loss, threads).unwrap();
    // A Hessian may be all but zero where every relu is off; its rounding is that of a direction of this size.
    distance(&widened(&found), &problem.hessian_vector(&v), 1e-3 * norm(&v))
}

fn predict_error<T: Elementary>(problem: &Problem) -> f64 {
    let data = Data::<T>::of(problem);
    let rows = problem.offsets[problem.n_clusters()];
    let mut found = vec![T::default(); rows * problem.net.n_outputs()];
    predict(&problem.net, &data.theta, &data.x, &mut found, Threads::serial()).unwrap();
    let plain = distance(&widened(&found), &problem.predict(&problem.theta), 0.0);
    // Parameters of its own for each cluster, and one cluster without rows.
    let (mut thetas, mut offsets) = (data.theta.clone(), vec![0]);
    for (c, &end) in problem.offsets.iter().enumerate().skip(1) {
        thetas.extend(data.theta.iter().map(|t| T::from_f64(t.to_f64() * (1.0 + 0.25 * c as f64))));
        offsets.push(end);
    }
    offsets.insert(0, 0);
    predict_each(&problem.net, &thetas, &data.x, &offsets, &mut found, Threads::serial()).unwrap();
    let thetas = widened(&thetas);
    let mut expected = Vec::new();
    for (c, rows) in offsets.windows(2).enumerate() {
        let n = problem.net.n_parameters();
        let all = problem.predict(&thetas[c * n..(c + 1) * n]);
        expected.extend_from_slice(&all[rows[0] * problem.net.n_outputs()..rows[1] * problem.net.n_outputs()]);
    }
    plain.max(distance(&widened(&found), &expected, 0.0))
}

fn check_the_rest<T: Elementary>(case: &Case) {
    let problem = case.shape.problem();
    for (what, error) in [
        ("adapt", adapt_error::<T>(case, &problem, &case.reference(&problem))),
        ("hessian_vector", hessian_vector_error::<T>(case, &problem)),
        ("predict", predict_error::<T>(&problem)),
    ] {
        assert!(error <= tolerance::<T>(), "{what}: error {error:e} in {case:?}");
    }
}

#[test]
fn adapt_hessian_vector_and_predict() {
    for (i, (_, loss)) in LOSSES.into_iter().enumerate() {
        for (j, hidden) in hiddens().into_iter().enumerate() {
            let (_, activation) = ACTIVATIONS[(i + j) % ACTIVATIONS.len()];
            let shape = Shape { hidden, activation, loss, outputs: 3, weighted: i % 2 == 0, ..Shape::default() };
            let shape = Shape { split: j % 2 == 0, cluster_weighted: j > 2, ..shape };
            let inner = Inner { momentum: if i > 1 { 0.5 } else { 0.0 }, head_only: j == 1, ..plain(3, 0.05) };
            let case = Case::new(shape, 0.0, inner);
            check_the_rest::<f64>(&case);
            check_the_rest::<f32>(&case);
        }
    }
}

/// Largest curvatures against all eigenvalues of the naive Hessian. Targets far above the outputs make Hessians whose
/// largest eigenvalue in magnitude is negative, the harder case.
#[test]
fn curvature_is_the_largest_eigenvalue() {
    let mut n_negative = 0;
    for (i, (_, activation)) in ACTIVATIONS.into_iter().enumerate() {
        for scale in [1.0, 20.0] {
            let hidden = if i == 0 { vec![] } else { vec![2] };
            let shape =
                Shape { inputs: 2, hidden, activation, sizes: vec![5, 2, 8], weighted: true, ..Shape::default() };
            let mut problem = shape.problem();
            problem.y.iter_mut().for_each(|y| *y = (*y).abs() * scale);
            let data = Data::<f64>::of(&problem);
            // Power iteration gains (λ₂/λ₁)² an iteration: enough for the closest pair among these.
            let (clusters, n) = (data.clusters(), 3000);
            let found = curvature(&problem.net, &data.theta, &clusters, Loss::Squared, n, Threads::serial()).unwrap();
            for (c, &found) in found.iter().enumerate() {
                let all = eigenvalues(problem.hessian(c));
                let (low, high) = (
                    all.iter().copied().fold(f64::INFINITY, f64::min),
                    all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                );
                n_negative += usize::from(-low > high);
                let error = (found - high).abs() / high.abs().max(1e-3 * low.abs());
                assert!(
                    error <= 1e-8,
                    "{found} instead of {high}, error {error:e}, {activation:?}, cluster {c}, of {all:?}"
                );
            }
        }
    }
    assert!(n_negative >= 3, "only {n_negative} Hessians lean to the negative side");
}

/// f32's curvature feeds a choice of step: two digits would do, and four are had.
#[test]
fn curvature_in_single_precision() {
    let problem = Shape { inputs: 2, hidden: vec![3], ..Shape::default() }.problem();
    let data = Data::<f32>::of(&problem);
    let found = curvature(&problem.net, &data.theta, &data.clusters(), problem.loss, 2000, Threads::serial()).unwrap();
    for (c, found) in found.into_iter().enumerate() {
        let high = eigenvalues(problem.hessian(c)).into_iter().fold(f64::NEG_INFINITY, f64::max);
        assert!((found - high).abs() <= 1e-4 * high.abs(), "{found} instead of {high}");
    }
}

/// Sums of rows × parameters² that a random case may cost, so that all of them take seconds.
const COST: usize = 20_000_000;

fn shapes() -> impl Strategy<Value = Shape> {
    let widths = select(vec![1_usize, 2, 3, 8, 16, 17, 33]);
    let net = (select(vec![1_usize, 2, 3, 5, 17]), prop::collection::vec(widths, 0..=3), 1..=6_usize);
    let kind = (select(ACTIVATIONS.map(|(_, it)| it).to_vec()), select(LOSSES.map(|(_, it)| it).to_vec()));
    let data = (prop::collection::vec(1..=40_usize, 1..=5), any::<[bool; 3]>(), 0..1_u64 << 16);
    (net, kind, data).prop_map(|((inputs, hidden, outputs), (activation, loss), (mut sizes, flags, seed))| {
        let [weighted, cluster_weighted, split] = flags;
        let shape = |sizes| Shape {
            inputs,
            hidden: hidden.clone(),
            outputs,
            activation,
            loss,
            sizes,
            weighted,
            cluster_weighted,
            split,
            seed,
        };
        let n = shape(vec![]).net().n_parameters();
        while sizes.iter().sum::<usize>() * n * n > COST && sizes.iter().any(|&n| n > 1) {
            sizes.iter_mut().for_each(|n| *n = n.div_ceil(2));
        }
        shape(sizes)
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let inner = (0..=5_usize, select(vec![0.003, 0.01, 0.03]), select(vec![0.0, 0.5, 0.9]), any::<[bool; 3]>());
    (shapes(), select(vec![0.0, 0.3, 1.0]), inner).prop_map(|(shape, alpha, (steps, rate, momentum, flags))| {
        let [own_rates, head_only, first_order] = flags;
        let step_size = if own_rates { shape.rates(rate) } else { StepSize::Common(rate) };
        Case { shape, alpha, inner: Inner { steps, step_size, momentum, head_only, first_order } }
    })
}

fn settings(cases: u32) -> ProptestConfig {
    let regressions = concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/exactness.txt");
    ProptestConfig {
        // Without optimization a case takes some seconds.
        cases: if cfg!(slow) { cases / 16 } else { cases },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    }
}

/// Whether the path stays where rounding is small beside it.
fn is_tame(problem: &Problem, found: &Reference) -> bool {
    let size = norm(&problem.theta);
    found.clusters.iter().all(|c| c.after.abs() < 1e3 && norm(&c.adapted) < 10.0 * size)
}

proptest! {
    #![proptest_config(settings(96))]

    #[test]
    fn random_cases_in_double_precision(case in cases(), rate_gradient in any::<bool>(), status in any::<bool>()) {
        let problem = case.shape.problem();
        let expected = case.reference(&problem);
        prop_assume!(is_tame(&problem, &expected));
        let error = evaluation_error::<f64>(&case, &problem, &expected, ExtraOutputs { rate_gradient, status });
        prop_assert!(error <= tolerance::<f64>(), "error {:e}", error);
        let error = adapt_error::<f64>(&case, &problem, &expected).max(hessian_vector_error::<f64>(&case, &problem));
        prop_assert!(error <= tolerance::<f64>(), "error {:e} in adapt or hessian_vector", error);
    }
}

proptest! {
    #![proptest_config(settings(16))]

    /// Without kinks: in f32 a pre-activation or residual that is all but there may fall on the other side, where the
    /// first or second derivative is another one, as it should be. The quantile loss has one, smoothed over a tenth of a
    /// unit: what a residual is rounded by counts a hundredfold in the second derivative.
    #[test]
    fn random_cases_in_single_precision(case in cases()) {
        prop_assume!(!matches!(case.shape.activation, Activation::Relu | Activation::Elu));
        prop_assume!(!matches!(case.shape.loss, Loss::Huber { .. } | Loss::Quantile { .. }));
        let problem = case.shape.problem();
        let expected = case.reference(&problem);
        prop_assume!(is_tame(&problem, &expected));
        let error = evaluation_error::<f32>(&case, &problem, &expected, ALL);
        prop_assert!(error <= tolerance::<f32>(), "error {:e}", error);
    }
}
