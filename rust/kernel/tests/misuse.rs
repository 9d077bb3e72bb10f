//! Every error by its message, clusters that diverge, and calls that are interrupted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rfp_kernel::simd::math::Elementary;
use rfp_kernel::{
    ACTIVATIONS, Activation, Architecture, Clusters, Decay, Evaluation, ExtraOutputs, Inner, KernelError, L1, L1Method,
    LOSSES, Loss, Moments, Objective, Optimizer, Penalties, Rule, Schedule, State, StepSize, StopCheck, Threads,
    Trainer, adapt, curvature, evaluate, gradients, hessian_vector, jvp, many, output_hessian_vector, pool, predict,
    predict_each, vjp,
};

use crate::common::problems::plain;
use crate::common::{Data, Problem, Shape, distance};

#[track_caller]
fn refused<T>(result: Result<T, KernelError>, message: &str) {
    match result {
        Ok(_) => panic!("accepted, instead of: {message}"),
        Err(error) => assert_eq!(error.to_string(), message),
    }
}

/// Two clusters of 3 and 2 rows with 2 inputs, one output: a network of 2·3 + 3 + 3 + 1 = 13 parameters.
fn problem() -> Problem {
    Shape { inputs: 2, hidden: vec![3], sizes: vec![3, 2], ..Shape::default() }.problem()
}

fn objective() -> Objective {
    Objective { loss: Loss::Squared, alpha: 0.5, inner: plain(1, 0.1), skip_diverged: false }
}

fn call<T: Elementary>(
    problem: &Problem,
    data: &Data<T>,
    objective: &Objective,
    wanted: ExtraOutputs,
) -> Result<Evaluation<T>, KernelError> {
    evaluate(&problem.net, &data.theta, &data.clusters(), None, objective, wanted, Threads::serial())
}

#[test]
fn widths() {
    let net = |inputs, hidden: &[usize], outputs| Architecture::new(inputs, hidden, outputs, Activation::Tanh);
    for bad in [net(0, &[3], 1), net(2, &[3, 0], 1), net(2, &[3], 0), net(0, &[], 1)] {
        refused(bad, "every width must be at least 1, got 0");
    }
    for bad in [net(usize::MAX, &[2], 1), net(1 << 40, &[1 << 40], 1), net(2, &[1 << 31, 1 << 31], 1)] {
        refused(bad, "the number of parameters is too large for this machine");
    }
}

#[test]
fn derivatives_of_outputs_and_gradients_at_many_points() {
    let problem = problem();
    let (net, data, serial) = (&problem.net, Data::<f64>::of(&problem), Threads::serial());
    let (theta, x) = (&data.theta[..], &data.x[..]);
    let mut five = [0.0; 5];
    refused(jvp(net, &theta[1..], theta, x, &mut five, serial), "theta has 12 elements, needs 13");
    refused(jvp(net, theta, &theta[1..], x, &mut five, serial), "v has 12 elements, needs 13");
    refused(jvp(net, theta, theta, &x[2..], &mut five, serial), "outputs has 5 elements, needs 4");
    refused(vjp(net, theta, &five[1..], x, serial), "w has 4 elements, needs 5");
    refused(vjp(net, theta, &five, &x[1..], serial), "w has 5 elements, needs 4");
    refused(output_hessian_vector(net, theta, &theta[1..], &five, x, serial), "v has 12 elements, needs 13");
    five[2] = 1e308;
    let message = "the weighted sum of the outputs, with its derivatives, must be finite, got -inf";
    refused(vjp(net, &[30.0; 13], &five, x, serial), message);
    let mut points = theta.repeat(2);
    let mut into = vec![0.0; 26];
    let mut of = |points: &[f64]| gradients(net, points, &data.clusters(), Loss::Squared, &mut into, serial);
    refused(of(&points[1..]), "theta has 25 elements, needs 26");
    points[13..].fill(1e200);
    refused(of(&points), "theta[1]: 2 of 2 clusters diverged; the first is cluster 0, at inner step 0, with loss inf");
    let dropout = many::Dropout { rates: vec![0.5], inputs: 1.0, by_row: true };
    let spec = many::Spec::untrained(net.clone(), Loss::Squared, dropout, 0);
    let found = many::dropout_gradient(&spec, theta, &data.clusters(), 5, serial);
    refused(found, "the inputs' dropout rate must be in [0, 1), got 1");
    let dropout = many::Dropout { rates: vec![0.5], inputs: 0.0, by_row: true };
    let spec = many::Spec::untrained(net.clone(), Loss::Squared, dropout, 0);
    let found = many::dropout_gradient(&spec, theta, &data.clusters(), 1, serial);
    refused(found, "n_draws must be at least 2, got 1");
}

#[test]
fn names() {
    let known = ACTIVATIONS.map(|(name, _)| name).join(", ");
    refused("sine".parse::<Activation>(), &format!("unknown activation \"sine\"; known are {known}"));
    let known = LOSSES.map(|(name, _)| name).join(", ");
    refused("Squared".parse::<Loss>(), &format!("unknown loss \"Squared\"; known are {known}"));
    assert!(ACTIVATIONS.iter().all(|(name, activation)| name.parse() == Ok(*activation)));
    assert!(LOSSES.iter().all(|(name, loss)| name.parse() == Ok(*loss)));
}

#[test]
fn parameters_of_losses() {
    assert_eq!("huber(2)".parse(), Ok(Loss::Huber { delta: 2.0 }));
    assert_eq!("quantile( 0.9 )".parse(), Ok(Loss::Quantile { level: 0.9, width: 0.1 }));
    assert_eq!("quantile(0.9,5e-2)".parse(), Ok(Loss::Quantile { level: 0.9, width: 0.05 }));
    for (text, message) in [
        ("huber(0)", "delta must be finite and above 0, got 0"),
        ("huber(inf)", "delta must be finite and above 0, got inf"),
        ("quantile(1)", "level must be in (0, 1), got 1"),
        ("quantile(nan)", "level must be in (0, 1), got NaN"),
        ("quantile(0.5, -1)", "width must be finite and above 0, got -1"),
    ] {
        refused(text.parse::<Loss>(), message);
    }
    for text in ["huber()", "huber(1, 2)", "squared(1)", "quantile(0.1, 0.1, 0.1)"] {
        let known = "huber(delta), quantile(level), quantile(level, width)";
        refused(text.parse::<Loss>(), &format!("unknown parameters of a loss in \"{text}\"; known are {known}"));
    }
    assert!("huber(1".parse::<Loss>().is_err());
}

#[test]
fn options_of_the_objective() {
    let net = problem().net;
    for (alpha, got) in [(-0.1, "-0.1"), (1.5, "1.5"), (f64::NAN, "NaN")] {
        let bad = Objective { alpha, ..objective() };
        refused(bad.validate(&net), &format!("alpha must be in [0, 1], got {got}"));
    }
    let with = |inner| Objective { inner, ..objective() }.validate(&net);
    for (rate, got) in [(0.0, "0"), (-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        refused(with(plain(1, rate)), &format!("inner_lr must be finite and above 0, got {got}"));
        let mut rates = vec![0.1; 13];
        rates[12] = rate;
        let own = Inner { step_size: StepSize::PerParameter(rates), ..plain(1, 0.1) };
        refused(with(own), &format!("inner_lr must be finite and above 0, got {got}"));
    }
    let short = Inner { step_size: StepSize::PerParameter(vec![0.1; 12]), ..plain(1, 0.1) };
    refused(with(short), "inner_lr has 12 elements, needs 13");
    for (momentum, got) in [(-0.5, "-0.5"), (1.0, "1"), (f64::NAN, "NaN")] {
        refused(with(Inner { momentum, ..plain(1, 0.1) }), &format!("inner momentum must be in [0, 1), got {got}"));
    }
    // The calls look before they work.
    let (problem, bad) = (problem(), Objective { alpha: 2.0, ..objective() });
    refused(
        call(&problem, &Data::<f64>::of(&problem), &bad, ExtraOutputs::default()),
        "alpha must be in [0, 1], got 2",
    );
}

#[test]
fn arrays_of_the_wrong_length() {
    let problem = problem();
    let fresh = || Data::<f64>::of(&problem);
    let evaluated = |data: &Data<f64>| call(&problem, data, &objective(), ExtraOutputs::default());
    let mut data = fresh();
    data.theta.pop();
    refused(evaluated(&data), "theta has 12 elements, needs 13");
    let mut data = fresh();
    data.x.push(0.0);
    refused(evaluated(&data), "x has 11 elements, needs 10");
    let mut data = fresh();
    data.y.pop();
    refused(evaluated(&data), "y has 4 elements, needs 5");

    let mut data = fresh();
    data.weights = Some(vec![1.0; 4]);
    refused(data.clusters().validate(), "weights has 4 elements, needs 5");
    let mut data = fresh();
    data.n_support = Some(vec![1]);
    refused(data.clusters().validate(), "n_support has 1 elements, needs 2");
    let mut data = fresh();
    data.cluster_weights = Some(vec![1.0; 3]);
    refused(data.clusters().validate(), "cluster_weights has 3 elements, needs 2");

    let (data, threads) = (fresh(), Threads::serial());
    let (net, theta, clusters) = (&problem.net, &data.theta[..], data.clusters());
    refused(hessian_vector(net, theta, &[1.0; 12], &clusters, Loss::Squared, threads), "v has 12 elements, needs 13");
    let mut into = [0.0; 25];
    refused(
        adapt(net, theta, &clusters, &plain(1, 0.1), Loss::Squared, &mut into, threads),
        "adapted parameters has 25 elements, needs 26",
    );
    refused(predict(net, theta, &data.x[1..], &mut [0.0; 5], threads), "x has 9 elements, needs 8");
    refused(predict(net, theta, &data.x, &mut [0.0; 6], threads), "outputs has 6 elements, needs 5");
    refused(predict(net, &theta[1..], &data.x, &mut [0.0; 5], threads), "theta has 12 elements, needs 13");
    refused(predict_each(net, theta, &data.x, &[0, 3, 5], &mut [0.0; 5], threads), "theta has 13 elements, needs 26");
}

#[test]
fn numbers_that_are_not_finite() {
    let problem = problem();
    let fresh = || Data::<f64>::of(&problem);
    let mut data = fresh();
    data.theta[7] = f64::NAN;
    let message = "theta has a non-finite value (NaN) at index 7";
    refused(call(&problem, &data, &objective(), ExtraOutputs::default()), message);
    let threads = Threads::serial();
    refused(predict(&problem.net, &data.theta, &data.x, &mut [0.0; 5], threads), message);
    let clusters = data.clusters();
    refused(curvature(&problem.net, &data.theta, &clusters, Loss::Squared, 3, threads), message);

    let mut data = fresh();
    data.x[9] = f64::NEG_INFINITY;
    let message = "x has a non-finite value (-inf) at index 9";
    refused(data.clusters().validate(), message);
    refused(predict(&problem.net, &data.theta, &data.x, &mut [0.0; 5], threads), message);
    let mut data = fresh();
    data.y[0] = f64::INFINITY;
    refused(data.clusters().validate(), "y has a non-finite value (inf) at index 0");
    let mut data = fresh();
    data.weights = Some(vec![1.0, 1.0, f64::NAN, 1.0, 1.0]);
    refused(data.clusters().validate(), "weights has a non-finite value (NaN) at index 2");
    let mut data = fresh();
    data.cluster_weights = Some(vec![1.0, f64::INFINITY]);
    refused(data.clusters().validate(), "cluster_weights has a non-finite value (inf) at index 1");

    let data = fresh();
    let mut v = [1.0; 13];
    v[3] = f64::NAN;
    refused(
        hessian_vector(&problem.net, &data.theta, &v, &data.clusters(), Loss::Squared, threads),
        "v has a non-finite value (NaN) at index 3",
    );
}

#[test]
fn offsets() {
    let problem = problem();
    let data = Data::<f64>::of(&problem);
    let with = |offsets: &[usize]| Clusters { offsets, ..data.clusters() }.validate();
    for (bad, index, got, rows) in [
        (&[0, 3, 3, 5][..], 2, 3, 5),
        (&[0, 4, 3, 5][..], 2, 3, 5),
        (&[1, 3, 5][..], 0, 1, 5),
        (&[0][..], 0, 0, 0),
        (&[][..], 0, 1, 0),
    ] {
        let message = format!("offsets must rise strictly from 0 to {rows} rows: offsets[{index}] is {got}");
        refused(with(bad), &message);
    }
    let predicted = |offsets: &[usize]| {
        let thetas = data.theta.repeat(offsets.len() - 1);
        predict_each(&problem.net, &thetas, &data.x, offsets, &mut [0.0; 5], Threads::serial())
    };
    refused(predicted(&[0, 3, 2, 5]), "offsets must rise strictly from 0 to 5 rows: offsets[2] is 2");
    refused(predicted(&[0, 3, 6]), "offsets must rise strictly from 0 to 5 rows: offsets[2] is 6");
    refused(predicted(&[0, 3]), "offsets must rise strictly from 0 to 5 rows: offsets[1] is 3");
    // Rows that cannot even be counted.
    let huge = [0, usize::MAX];
    let clusters = Clusters { offsets: &huge, ..data.clusters() };
    refused(
        evaluate(&problem.net, &data.theta, &clusters, None, &objective(), ExtraOutputs::default(), Threads::serial()),
        "the data is too large for this machine",
    );
}

#[test]
fn clusters_without_weight_or_rows() {
    let problem = problem();
    let mut data = Data::<f64>::of(&problem);
    data.weights = Some(vec![1.0, 1.0, 1.0, 0.0, 0.0]);
    refused(data.clusters().validate(), "cluster 1 has no weight");
    data.weights = Some(vec![1.0, 1.0, 1.0, -0.5, 2.0]);
    refused(data.clusters().validate(), "every weight must be at least 0, got -0.5");
    data.weights = None;
    data.n_support = Some(vec![0, 1]);
    refused(data.clusters().validate(), "cluster 0 has no support rows");
    data.n_support = Some(vec![1, 2]);
    refused(data.clusters().validate(), "cluster 1 has no query rows");
    // Weight on one side only.
    data.n_support = Some(vec![1, 1]);
    data.weights = Some(vec![1.0, 0.0, 0.0, 1.0, 1.0]);
    refused(data.clusters().validate(), "cluster 0 has no weight");
    (data.weights, data.n_support) = (None, None);
    data.cluster_weights = Some(vec![1.0, -2.0]);
    refused(data.clusters().validate(), "every cluster weight must be at least 0, got -2");
    data.cluster_weights = Some(vec![0.0, 0.0]);
    assert_eq!(data.clusters().validate(), Ok(()));
    refused(
        call(&problem, &data, &objective(), ExtraOutputs::default()),
        "the sum of cluster weights must be above 0, got 0",
    );
    // As when no cluster is listed.
    data.cluster_weights = None;
    let (clusters, threads) = (data.clusters(), Threads::serial());
    let none =
        evaluate(&problem.net, &data.theta, &clusters, Some(&[]), &objective(), ExtraOutputs::default(), threads);
    refused(none, "the sum of cluster weights must be above 0, got 0");
}

#[test]
fn options_of_the_outer_loop() {
    let problem = problem();
    let data = Data::<f64>::of(&problem);
    let fine = Optimizer::default();
    let moments = Moments::default();
    let none = Penalties::default();
    let decay = |strength| Decay { strength, biases: true };
    let l1 = |strength, smoothing| L1 { strength, biases: true, method: L1Method::Proximal, smoothing };
    let adam = |moments| Optimizer { rule: Rule::Adam(moments), ..fine };
    let cosine = |steps| Optimizer { schedule: Schedule::Cosine { steps }, ..fine };
    let power = |steps, power| Optimizer { schedule: Schedule::Power { steps, power }, ..fine };
    for (bad, message) in [
        (Optimizer { learning_rate: 0.0, ..fine }, "learning_rate must be finite and above 0, got 0"),
        (Optimizer { learning_rate: f64::NAN, ..fine }, "learning_rate must be finite and above 0, got NaN"),
        (Optimizer { penalties: Penalties { coupled: decay(-1.0), ..none }, ..fine }, "l2 must be at least 0, got -1"),
        (
            Optimizer { penalties: Penalties { decoupled: decay(f64::NAN), ..none }, ..fine },
            "decoupled l2 must be at least 0, got NaN",
        ),
        (Optimizer { penalties: Penalties { l1: l1(-1.0, 0.0), ..none }, ..fine }, "l1 must be at least 0, got -1"),
        (
            Optimizer { penalties: Penalties { l1: l1(1.0, 0.5), ..none }, ..fine },
            "l1 smoothing must be at least 0, and 0 with the proximal step, got 0.5",
        ),
        (Optimizer { max_norm: Some(-2.0), ..fine }, "max_norm must be finite and above 0, got -2"),
        (
            Optimizer { schedule: Schedule::Step { every: 1.0, factor: 0.0 }, ..fine },
            "the schedule's factor must be finite and above 0, got 0",
        ),
        (Optimizer { clip_norm: Some(0.0), ..fine }, "clip_norm must be finite and above 0, got 0"),
        (Optimizer { rule: Rule::Sgd { momentum: 1.0, nesterov: false }, ..fine }, "momentum must be in [0, 1), got 1"),
        (adam(Moments { beta1: 1.0, ..moments }), "beta1 must be in [0, 1), got 1"),
        (adam(Moments { beta2: -0.1, ..moments }), "beta2 must be in [0, 1), got -0.1"),
        (adam(Moments { epsilon: 0.0, ..moments }), "epsilon must be finite and above 0, got 0"),
        (cosine(0.0), "the schedule's length must be finite and above 0, got 0"),
        (power(f64::INFINITY, 1.0), "the schedule's length must be finite and above 0, got inf"),
        (power(1.0, -1.0), "power must be at least 0, got -1"),
    ] {
        refused(bad.validate(), message);
        let trainer = Trainer::new(problem.net.clone(), data.theta.clone(), objective(), bad, None, 0);
        refused(trainer, message);
    }
    let new = |theta: Vec<f64>, objective, batch_size| {
        Trainer::new(problem.net.clone(), theta, objective, fine, batch_size, 0)
    };
    refused(new(data.theta.clone(), objective(), Some(0)), "batch_size must be at least 1, got 0");
    refused(new(vec![0.0; 12], objective(), None), "theta has 12 elements, needs 13");
    let bad = Objective { alpha: -1.0, ..objective() };
    refused(new(data.theta.clone(), bad, None), "alpha must be in [0, 1], got -1");

    let mut trainer = new(data.theta.clone(), objective(), None).unwrap();
    let state = trainer.state().clone();
    refused(trainer.restore(State { first: vec![0.0; 2], ..state.clone() }), "first moment has 2 elements, needs 13");
    let mut second = vec![0.0; 13];
    second[1] = f64::NAN;
    refused(
        trainer.restore(State { second, ..state.clone() }),
        "second moment has a non-finite value (NaN) at index 1",
    );
    assert_eq!(trainer.state(), &state, "a refused state changes nothing");
    refused(
        curvature(&problem.net, &data.theta, &data.clusters(), Loss::Squared, 0, Threads::serial()),
        "n_iterations must be at least 1, got 0",
    );
}

/// Four clusters of one row; a linear model whose residual grows by |1 − 2η(x² + 1)| a step. In the second and fourth
/// x is so large that it overflows.
fn diverging() -> Problem {
    let mut problem = Shape { inputs: 1, hidden: vec![], sizes: vec![1; 4], ..Shape::default() }.problem();
    problem.x = vec![0.5, 1e60, 1.0, 1e100];
    problem.y = vec![2.0; 4];
    problem.theta = vec![1.0, 0.0];
    problem
}

#[test]
fn divergence_names_the_first_cluster_its_step_and_its_loss() {
    let problem = diverging();
    let data = Data::<f64>::of(&problem);
    for alpha in [0.0, 0.5] {
        let objective = Objective { alpha, inner: plain(3, 0.1), ..objective() };
        let error = call(&problem, &data, &objective, ExtraOutputs::default()).unwrap_err();
        // Residuals 1e60 → 2e179 → overflow: the loss, their square, is infinite from θ¹ on.
        let expected = KernelError::Diverged { cluster: 1, step: 1, loss: f64::INFINITY, n_diverged: 2, n_clusters: 4 };
        assert_eq!(error, expected);
        assert_eq!(
            error.to_string(),
            "2 of 4 clusters diverged; the first is cluster 1, at inner step 1, with loss inf"
        );
    }
    // Ordinary training takes no inner step.
    let ordinary = Objective { alpha: 1.0, inner: plain(3, 0.1), ..objective() };
    assert!(call(&problem, &data, &ordinary, ExtraOutputs::default()).is_ok());
}

#[test]
fn diverged_clusters_are_skipped_and_counted() {
    let problem = diverging();
    let data = Data::<f64>::of(&problem);
    let skip = Objective { inner: plain(3, 0.1), skip_diverged: true, ..objective() };
    let wanted = ExtraOutputs { rate_gradient: true, status: true };
    let found = call(&problem, &data, &skip, wanted).unwrap();
    let expected = problem.reference(&[0, 2], 0.5, &skip.inner);
    assert_eq!(found.n_skipped, 2);
    assert!(distance(&found.gradient, &expected.gradient, 0.0) < 1e-13);
    assert!(distance(&[found.value], &[expected.value], 0.0) < 1e-13);
    assert!(distance(&found.rate_gradient.unwrap(), &expected.rate_gradient, 0.0) < 1e-13);
    let steps: Vec<_> = found.status.iter().map(|s| s.diverged_step).collect();
    assert_eq!(steps, [None, Some(1), None, Some(1)]);
}

/// The numbers of a cluster that diverged stay in scratch, and must not reach those after it: in rows wider than a
/// register, with momentum, and in the dual form, which few rows of wide layers take.
#[test]
fn a_diverged_cluster_does_not_spoil_the_next() {
    let narrow = Shape { hidden: vec![5, 4], sizes: vec![7, 9, 2, 9, 8], ..Shape::default() };
    let wide = Shape { hidden: vec![60, 50], sizes: vec![1, 3, 2, 3, 1], ..Shape::default() };
    for (shape, momentum, steps) in [(&narrow, 0.0, 3), (&narrow, 0.5, 3), (&wide, 0.0, 1), (&wide, 0.0, 2)] {
        let mut problem = shape.problem();
        problem.y[problem.offsets[1]..problem.offsets[2]].fill(1e200);
        problem.y[problem.offsets[3]..problem.offsets[4]].fill(-1e200);
        let inner = Inner { momentum, ..plain(steps, 0.05) };
        let objective = Objective { inner, skip_diverged: true, ..objective() };
        let data = Data::<f64>::of(&problem);
        let of = |only: &[usize]| {
            let (clusters, threads) = (data.clusters(), Threads::serial());
            let wanted = ExtraOutputs::default();
            evaluate(&problem.net, &data.theta, &clusters, Some(only), &objective, wanted, threads).unwrap()
        };
        let (expected, found) = (of(&[0, 2, 4]), of(&[0, 1, 2, 3, 4]));
        assert_eq!([expected.n_skipped, found.n_skipped], [0, 2]);
        // The same numbers, perhaps added in another order.
        let error = distance(&found.gradient, &expected.gradient, 0.0);
        assert!(error < 1e-13, "error {error:e} in {shape:?}");
    }
}

#[test]
fn nothing_is_left_when_all_clusters_diverge() {
    let mut problem = diverging();
    problem.x = vec![1e100; 4];
    let data = Data::<f64>::of(&problem);
    let skip = Objective { inner: plain(2, 0.1), skip_diverged: true, ..objective() };
    let error = call(&problem, &data, &skip, ExtraOutputs::default()).unwrap_err();
    assert!(matches!(error, KernelError::Diverged { cluster: 0, n_diverged: 4, n_clusters: 4, .. }), "{error:?}");
}

/// A finite loss whose gradient overflows is a divergence too, never an infinity in the sum.
#[test]
fn a_gradient_that_overflows() {
    let mut problem = Shape { inputs: 1, hidden: vec![], sizes: vec![1, 1], ..Shape::default() }.problem();
    (problem.x, problem.y, problem.theta) = (vec![1.0, 1e21], vec![0.0; 2], vec![1e-3, 0.0]);
    let data = Data::<f32>::of(&problem);
    for (alpha, steps) in [(1.0, 0), (1.0, 2), (0.5, 0), (0.0, 0), (0.5, 1)] {
        let objective = Objective { alpha, inner: plain(steps, 0.1), ..objective() };
        let error = call(&problem, &data, &objective, ExtraOutputs::default()).map(|found| found.gradient).unwrap_err();
        assert!(matches!(error, KernelError::Diverged { cluster: 1, n_diverged: 1, .. }), "{error:?}");
    }
}

#[test]
fn adapt_reports_divergence_and_keeps_theta() {
    let problem = diverging();
    let data = Data::<f64>::of(&problem);
    let mut into = [0.0; 8];
    let (clusters, threads) = (data.clusters(), Threads::serial());
    let status =
        adapt(&problem.net, &data.theta, &clusters, &plain(3, 0.1), Loss::Squared, &mut into, threads).unwrap();
    assert_eq!(status.iter().map(|s| s.diverged_step).collect::<Vec<_>>(), [None, Some(1), None, Some(1)]);
    assert_eq!(status[1].loss_after, f64::INFINITY);
    assert!((status[1].loss_before / 1e120 - 1.0).abs() < 1e-12);
    assert_eq!(into[2..4], data.theta);
    assert_eq!(into[6..8], data.theta);
    assert!(into[..2] != data.theta && into[4..6] != data.theta);
}

#[test]
fn a_diverging_trainer_stands_at_its_last_step() {
    let problem = problem();
    let data = Data::<f64>::of(&problem);
    let optimizer = Optimizer { learning_rate: 1e120, ..Optimizer::default() };
    let mut trainer = Trainer::new(problem.net.clone(), data.theta.clone(), objective(), optimizer, None, 0).unwrap();
    let error = trainer.advance(&data.clusters(), 100, Threads::serial()).unwrap_err();
    assert!(matches!(error, KernelError::Diverged { .. } | KernelError::NotFinite { .. }), "{error:?}");
    assert!(trainer.state().n_steps < 100);
}

#[test]
fn a_set_flag_stops_every_call() {
    let problem = problem();
    let data = Data::<f64>::of(&problem);
    let stop = AtomicBool::new(true);
    let (net, theta, clusters) = (&problem.net, &data.theta, data.clusters());
    for n_threads in [1, 2] {
        let pool = pool(n_threads).unwrap();
        let threads = Threads::with_pool(pool.as_deref()).with_stop(&stop);
        for alpha in [0.5, 1.0] {
            let objective = Objective { alpha, ..objective() };
            let result = evaluate(net, theta, &clusters, None, &objective, ExtraOutputs::default(), threads);
            refused(result, "interrupted");
        }
        let mut into = [0.0; 26];
        refused(adapt(net, theta, &clusters, &plain(1, 0.1), Loss::Squared, &mut into, threads), "interrupted");
        refused(hessian_vector(net, theta, theta, &clusters, Loss::Squared, threads), "interrupted");
        refused(curvature(net, theta, &clusters, Loss::Squared, 3, threads), "interrupted");
    }
}

/// The flag is looked at between inner steps: a path that would take hours ends soon after it is set.
#[test]
fn a_flag_set_meanwhile_stops_a_long_path() {
    for sizes in [vec![3, 2], vec![1500]] {
        let problem = Shape { inputs: 2, hidden: vec![3], sizes, ..Shape::default() }.problem();
        let data = Data::<f64>::of(&problem);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(30));
                stop.store(true, Ordering::Relaxed);
            });
            let pool = pool(2).unwrap();
            let threads = Threads::with_pool(pool.as_deref()).with_stop(&stop);
            let mut into = vec![0.0; 13 * problem.n_clusters()];
            let inner = plain(10_000_000_000, 1e-12);
            let (clusters, loss) = (data.clusters(), Loss::Squared);
            refused(adapt(&problem.net, &data.theta, &clusters, &inner, loss, &mut into, threads), "interrupted");
        });
    }
}

/// The calling thread asks while it works, and while only its helper does; nobody else asks.
#[test]
fn a_stop_check_stops_a_long_path() {
    let caller = std::thread::current().id();
    for (n_threads, sizes) in [(1, vec![3]), (2, vec![3, 2]), (2, vec![1500])] {
        let problem = Shape { inputs: 2, hidden: vec![3], sizes, ..Shape::default() }.problem();
        let data = Data::<f64>::of(&problem);
        let asked = AtomicUsize::new(0);
        let ask = || {
            assert_eq!(std::thread::current().id(), caller);
            asked.fetch_add(1, Ordering::Relaxed) == 2
        };
        let stop_check = StopCheck::new(&ask);
        let pool = pool(n_threads).unwrap();
        let threads = Threads::with_pool(pool.as_deref()).with_stop_check(&stop_check);
        let mut into = vec![0.0; 13 * problem.n_clusters()];
        let inner = plain(10_000_000_000, 1e-12);
        let (clusters, loss) = (data.clusters(), Loss::Squared);
        refused(adapt(&problem.net, &data.theta, &clusters, &inner, loss, &mut into, threads), "interrupted");
        assert_eq!(asked.into_inner(), 3);
    }
}
