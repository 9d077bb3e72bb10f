//! The squared loss in a matrix for each cluster: against the naive network, against the ordinary loss, and against itself.

use rfp_kernel::simd::math::Elementary;
use rfp_kernel::{
    Activation, Clusters, Evaluation, ExtraOutputs, KernelError, Loss, Moments, Objective, Optimizer, Precision,
    PrecisionBlock, Random, Refit, Rule, Threads, Trainer, Watch, adapt, curvature, evaluate, gradients,
    hessian_vector, many, pool, refit,
};

use crate::common::problems::{narrowed, plain};
use crate::common::{Data, Problem, Shape, distance, widened};

/// Clusters below, at and above the sizes of registers and of parts of rows.
fn ragged(hidden: &[usize]) -> Shape {
    let sizes = vec![1, 2, 3, 7, 8, 9, 15, 16, 17, 25, 33, 64, 65, 130, 700, 5, 513];
    Shape { inputs: 2, hidden: hidden.to_vec(), sizes, ..Shape::default() }
}

fn ordinary() -> Objective {
    Objective { loss: Loss::Squared, alpha: 1.0, inner: plain(0, 0.1), skip_diverged: false }
}

/// Numbers that are f32's, like those of the problems.
fn normals(random: &mut Random, count: usize) -> Vec<f64> {
    (0..count).map(|_| f64::from(random.normal() as f32)).collect()
}

/// diag(d) − FFᵀ of rank 2 for each cluster, as f32's numbers: d and F.
fn factors(problem: &Problem) -> Vec<(Vec<f64>, Vec<f64>)> {
    let mut random = Random::new(5, "factors", 0);
    let one = |pair: &[usize]| {
        let n = pair[1] - pair[0];
        let shrunk = |x: f64| f64::from((x / (2.0 * (n as f64).sqrt())) as f32);
        let factor = normals(&mut random, 2 * n).into_iter().map(shrunk).collect();
        (normals(&mut random, n).iter().map(|x| 1.0 + x.abs()).collect(), factor)
    };
    problem.offsets.windows(2).map(one).collect()
}

fn matrix((diagonal, factor): &(Vec<f64>, Vec<f64>)) -> Vec<f64> {
    let n = diagonal.len();
    let element = |i: usize, j: usize| {
        let inner = factor[2 * i] * factor[2 * j] + factor[2 * i + 1] * factor[2 * j + 1];
        if i == j { diagonal[i] - inner } else { -inner }
    };
    (0..n * n).map(|at| element(at / n, at % n)).collect()
}

fn dense<T: Elementary>(problem: &Problem) -> Precision<T> {
    let blocks = factors(problem).iter().map(|f| PrecisionBlock::Dense(narrowed(&matrix(f)))).collect();
    Precision::new(blocks).unwrap()
}

fn low_rank<T: Elementary>(problem: &Problem) -> Precision<T> {
    let block =
        |(d, f): &(Vec<f64>, Vec<f64>)| PrecisionBlock::LowRank { diagonal: narrowed(d), factor: narrowed(f), rank: 2 };
    Precision::new(factors(problem).iter().map(block).collect()).unwrap()
}

fn identity<T: Elementary>(problem: &Problem) -> Precision<T> {
    let one = |n: usize| (0..n * n).map(|at| f64::from(u8::from(at % (n + 1) == 0))).collect::<Vec<_>>();
    let blocks = problem.offsets.windows(2).map(|pair| PrecisionBlock::Dense(narrowed(&one(pair[1] - pair[0]))));
    Precision::new(blocks.collect()).unwrap()
}

fn evaluated<T: Elementary>(
    problem: &Problem,
    precision: Option<&Precision<T>>,
    only: Option<&[usize]>,
    threads: Threads<'_>,
) -> Evaluation<T> {
    let data = Data::<T>::of(problem);
    let clusters = Clusters { precision, ..data.clusters() };
    clusters.validate().unwrap();
    evaluate(&problem.net, &data.theta, &clusters, only, &ordinary(), ExtraOutputs::default(), threads).unwrap()
}

/// Value and gradient by the naive network: those of the ordinary loss at outcomes f − A·(f − y), whose residuals are A·r.
fn naive(problem: &Problem, only: &[usize]) -> (f64, Vec<f64>) {
    let f = problem.predict(&problem.theta);
    let (mut y, mut value, mut rows) = (problem.y.clone(), 0.0, 0);
    for (cluster, own) in factors(problem).iter().enumerate() {
        let range = problem.offsets[cluster]..problem.offsets[cluster + 1];
        let r: Vec<f64> = range.clone().map(|i| f[i] - problem.y[i]).collect();
        let products = matrix(own);
        let products = products.chunks_exact(r.len()).map(|row| row.iter().zip(&r).map(|(a, r)| a * r).sum::<f64>());
        let whitened: Vec<f64> = products.collect();
        range.clone().zip(&whitened).for_each(|(i, w)| y[i] = f[i] - w);
        if only.contains(&cluster) {
            value += r.iter().zip(&whitened).map(|(r, w)| r * w).sum::<f64>();
            rows += r.len();
        }
    }
    let gradient = Problem { y, ..problem.clone() }.reference(only, 1.0, &plain(0, 0.1)).gradient;
    (value / rows as f64, gradient)
}

fn agrees_with_the_naive_network<T: Elementary>(tolerance: f64) {
    for hidden in [&[][..], &[6], &[5, 33]] {
        let problem = ragged(hidden).problem();
        let some = [0, 4, 9, 14, 16];
        let all: Vec<usize> = (0..problem.n_clusters()).collect();
        for only in [None, Some(&some[..])] {
            let (value, gradient) = naive(&problem, only.unwrap_or(&all));
            for precision in [dense::<T>(&problem), low_rank::<T>(&problem)] {
                let found = evaluated(&problem, Some(&precision), only, Threads::serial());
                let error = distance(&[found.value], &[value], 0.0);
                assert!(error < tolerance, "value {} for {value} with {hidden:?}", found.value);
                let error = distance(&widened(&found.gradient), &gradient, 1e-2 * value);
                assert!(error < tolerance, "gradient off by {error} with {hidden:?}");
            }
        }
    }
}

#[test]
fn value_and_gradient_are_those_of_the_definition() {
    // As in `exactness`: rounding of one pass, of a few hundred operations each.
    agrees_with_the_naive_network::<f64>(1e-10);
    agrees_with_the_naive_network::<f32>(1e-4);
}

fn identity_is_ordinary<T: Elementary>() {
    for (hidden, activation) in
        [(vec![], Activation::Tanh), (vec![32, 32], Activation::Relu), (vec![7], Activation::Gelu)]
    {
        let problem = Shape { activation, ..ragged(&hidden) }.problem();
        let precision = identity::<T>(&problem);
        let [plain, whitened] =
            [None, Some(&precision)].map(|precision| evaluated(&problem, precision, None, Threads::serial()));
        assert_eq!(plain.value, whitened.value, "{hidden:?}");
        assert_eq!(plain.gradient, whitened.gradient, "{hidden:?}");
        let data = Data::<T>::of(&problem);
        let trained = [None, Some(&precision)].map(|precision| {
            let optimizer = Optimizer { rule: Rule::Adam(Moments::default()), ..Optimizer::default() };
            let (net, theta) = (problem.net.clone(), data.theta.clone());
            let mut trainer = Trainer::new(net, theta, ordinary(), optimizer, Some(4), 3).unwrap();
            let values = trainer.advance(&Clusters { precision, ..data.clusters() }, 12, Threads::serial()).unwrap();
            (values, trainer.state().clone())
        });
        assert_eq!(trained[0], trained[1], "{hidden:?}");
    }
}

#[test]
fn the_identity_is_ordinary_training_to_the_bit() {
    identity_is_ordinary::<f64>();
    identity_is_ordinary::<f32>();
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    // Large enough to be split without a precision.
    let mut shape = ragged(&[6, 5]);
    shape.sizes.push(2500);
    let problem = shape.problem();
    let alone = evaluated(&problem, Some(&low_rank::<f32>(&problem)), None, Threads::serial());
    for n_threads in [2, 5] {
        let pool = pool(n_threads).unwrap();
        let threads = Threads::with_pool(pool.as_deref());
        let found = evaluated(&problem, Some(&low_rank::<f32>(&problem)), None, threads);
        assert_eq!((found.value, found.gradient), (alone.value, alone.gradient.clone()), "{n_threads} threads");
    }
}

#[test]
fn many_points_at_once() {
    let problem = ragged(&[4]).problem();
    let (data, precision) = (Data::<f64>::of(&problem), dense(&problem));
    let clusters = Clusters { precision: Some(&precision), ..data.clusters() };
    let mut found = vec![0.0; 2 * data.theta.len()];
    let points = [&data.theta[..], &data.theta].concat();
    gradients(&problem.net, &points, &clusters, Loss::Squared, &mut found, Threads::serial()).unwrap();
    let one = evaluated(&problem, Some(&precision), None, Threads::serial()).gradient;
    assert_eq!(found, [&one[..], &one].concat());
}

#[test]
fn refits_train_in_it_look_in_it_and_keep_every_look() {
    let problem = Shape { sizes: vec![5, 2, 9, 4, 7, 3], hidden: vec![6], ..Shape::default() }.problem();
    let (data, precision) = (Data::<f64>::of(&problem), dense(&problem));
    let clusters = Clusters { precision: Some(&precision), ..data.clusters() };
    let trainer = |learning_rate| {
        let rule = Rule::Adam(Moments::default());
        let optimizer = Optimizer { rule, learning_rate, ..Optimizer::default() };
        Trainer::new(problem.net.clone(), data.theta.clone(), ordinary(), optimizer, None, 0).unwrap()
    };
    let (counts, all, held_out) = ([1.0, 0.0, 1.0, 1.0, 0.0, 1.0], [1.0; 6], [1, 4]);
    let watch = Watch { every: 4, patience: usize::MAX, min_gain: 0.0, alpha: None, keep: true };
    let runs = [
        Refit { trainer: trainer(0.02), counts: &counts, held_out: &held_out },
        Refit { trainer: trainer(0.05), counts: &all, held_out: &[] },
    ];
    let found = refit(&runs, &clusters, 10, &watch, Threads::serial()).unwrap();
    let looks = |n_steps: usize| {
        let mut alone = trainer(0.02);
        alone.advance_among(&clusters, Some(&[0, 2, 3, 5]), n_steps, Threads::serial()).unwrap();
        let theta = alone.state().theta.clone();
        let at = Problem { theta: theta.clone(), ..problem.clone() };
        (evaluated(&at, Some(&precision), Some(&held_out), Threads::serial()).value, theta)
    };
    let (values, thetas): (Vec<_>, Vec<_>) = [4, 8, 10].map(looks).into_iter().unzip();
    assert_eq!((&found[0].held_out, &found[0].looks), (&values, &thetas));
    assert_eq!((found[1].looks.len(), &found[1].looks[2]), (3, &found[1].theta));
    let mut alone = trainer(0.05);
    alone.advance(&clusters, 10, Threads::serial()).unwrap();
    assert_eq!(found[1].theta, alone.state().theta);
    let unkept = refit(&runs, &clusters, 10, &Watch { keep: false, ..watch }, Threads::serial()).unwrap();
    assert!(unkept.iter().zip(&found).all(|(a, b)| a.looks.is_empty() && a.theta == b.theta));
}

#[track_caller]
fn refused<O>(result: Result<O, KernelError>, message: &str) {
    assert_eq!(result.err().map(|error| error.to_string()).as_deref(), Some(message));
}

#[test]
fn what_a_precision_is_not_for() {
    let problem = Shape { sizes: vec![3, 2], ..Shape::default() }.problem();
    let (data, precision) = (Data::<f64>::of(&problem), dense(&problem));
    let clusters = Clusters { precision: Some(&precision), ..data.clusters() };
    let (net, theta, serial) = (&problem.net, &data.theta[..], Threads::serial());
    let at = |objective: &Objective, wanted| evaluate(net, theta, &clusters, None, objective, wanted, serial);
    let none = ExtraOutputs::default();
    refused(at(&Objective { alpha: 0.5, ..ordinary() }, none), "alpha must be 1 with a precision, got 0.5");
    refused(at(&Objective { loss: Loss::Poisson, ..ordinary() }, none), "a precision needs the squared loss");
    for wanted in [ExtraOutputs { status: true, ..none }, ExtraOutputs { rate_gradient: true, ..none }] {
        refused(
            at(&ordinary(), wanted),
            "a status or a gradient in the inner steps needs clusters without a precision",
        );
    }
    let beyond = "an adaptation or a second derivative needs clusters without a precision";
    refused(hessian_vector(net, theta, theta, &clusters, Loss::Squared, serial), beyond);
    refused(curvature(net, theta, &clusters, Loss::Squared, 3, serial), beyond);
    let mut adapted = vec![0.0; 2 * theta.len()];
    refused(adapt(net, theta, &clusters, &plain(1, 0.1), Loss::Squared, &mut adapted, serial), beyond);
    let dropout = many::Dropout { rates: vec![0.3], inputs: 0.2, by_row: true };
    let spec = many::Spec::untrained(net.clone(), Loss::Squared, dropout, 1);
    let masks = many::dropout_gradient(&spec, theta, &clusters, 5, serial);
    refused(masks, "a mean over masks needs clusters without a precision");
    let (weights, n_support) = ([1.0; 5], [1, 1]);
    let weighted = Clusters { weights: Some(&weights), ..clusters };
    refused(weighted.validate(), "a precision needs rows without weights");
    let split = Clusters { n_support: Some(&n_support), ..clusters };
    refused(split.validate(), "a precision needs clusters without a query split");
    refused(
        Clusters { offsets: &[0, 2, 5], ..clusters }.validate(),
        "the precision of cluster 0 has 3 rows, the cluster has 2",
    );
    let two = Shape { sizes: vec![3, 2], outputs: 2, ..Shape::default() }.problem();
    let data = Data::<f64>::of(&two);
    let clusters = Clusters { precision: Some(&precision), ..data.clusters() };
    let result = evaluate(&two.net, &data.theta, &clusters, None, &ordinary(), none, serial);
    refused(result, "the number of outputs must be 1 with a precision, got 2");
}
