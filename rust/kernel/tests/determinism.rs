//! The same bits, whoever does the work and however it is cut.

use rfp_kernel::simd::math::Elementary;
use rfp_kernel::{
    Clusters, Decay, ExtraOutputs, Inner, Loss, Moments, Objective, Optimizer, Penalties, Rule, Schedule, Threads,
    Trainer, adapt, curvature, evaluate, gradients, hessian_vector, jvp, many, output_hessian_vector, pool, predict,
    vjp,
};

use crate::common::problems::{narrowed, plain};
use crate::common::{Data, Problem, Shape, distance};

/// Everything that a call returns, as bits: −0 is not 0 here, and NaN equals itself.
fn bits<T: Elementary>(numbers: &[T]) -> Vec<u64> {
    numbers.iter().map(|x| x.to_f64().to_bits()).collect()
}

/// Clusters whose rows are split over threads, of sizes whose chunks differ, among small ones. Each is over 1024 rows
/// and over a sixteenth of all.
fn mixed(split: bool) -> Shape {
    let mut sizes: Vec<usize> = (0..90).map(|i| 1 + i * 7 % 23).collect();
    sizes.insert(40, 1100);
    sizes.insert(7, 2600);
    sizes.push(1024);
    Shape { inputs: 2, hidden: vec![5, 3], sizes, weighted: true, split, ..Shape::default() }
}

/// All results of one problem by one set of threads.
fn results<T: Elementary>(problem: &Problem, inner: &Inner, threads: Threads<'_>) -> Vec<Vec<u64>> {
    let data = Data::<T>::of(problem);
    let (net, theta, clusters) = (&problem.net, &data.theta, data.clusters());
    let mut all = Vec::new();
    for (alpha, wanted) in [
        (0.3, ExtraOutputs { rate_gradient: true, status: true }),
        (0.5, ExtraOutputs::default()),
        (1.0, ExtraOutputs::default()),
    ] {
        let objective = Objective { loss: problem.loss, alpha, inner: inner.clone(), skip_diverged: false };
        let found = evaluate(net, theta, &clusters, None, &objective, wanted, threads).unwrap();
        all.push(bits(&[found.value, found.alpha_gradient]));
        all.push(bits(&found.gradient));
        all.push(bits(&found.rate_gradient.unwrap_or_default()));
        all.push(bits(&found.status.iter().flat_map(|s| [s.loss_before, s.loss_after]).collect::<Vec<_>>()));
    }
    let mut adapted = vec![T::default(); theta.len() * problem.n_clusters()];
    adapt(net, theta, &clusters, inner, problem.loss, &mut adapted, threads).unwrap();
    all.push(bits(&adapted));
    let v: Vec<T> = theta.iter().map(|t| T::from_f64(1.0 - t.to_f64())).collect();
    all.push(bits(&hessian_vector(net, theta, &v, &clusters, problem.loss, threads).unwrap()));
    all.push(bits(&curvature(net, theta, &clusters, problem.loss, 3, threads).unwrap()));
    let mut outputs = vec![T::default(); problem.offsets[problem.n_clusters()] * net.n_outputs()];
    predict(net, theta, &data.x, &mut outputs, threads).unwrap();
    all.push(bits(&outputs));
    jvp(net, theta, &v, &data.x, &mut outputs, threads).unwrap();
    all.push(bits(&outputs));
    all.push(bits(&vjp(net, theta, &outputs, &data.x, threads).unwrap()));
    all.push(bits(&output_hessian_vector(net, theta, &v, &outputs, &data.x, threads).unwrap()));
    let points = [&theta[..], &v, theta].concat();
    let mut gradients_at = vec![T::default(); points.len()];
    gradients(net, &points, &clusters, problem.loss, &mut gradients_at, threads).unwrap();
    all.push(bits(&gradients_at));
    let dropout = many::Dropout { rates: vec![0.3; net.hidden().len()], inputs: 0.2, by_row: true };
    let spec = many::Spec::untrained(net.clone(), problem.loss, dropout, 1);
    for moment in many::dropout_gradient(&spec, theta, &clusters, 5, threads).unwrap() {
        all.push(bits(&moment));
    }
    all
}

fn same_on_any_threads<T: Elementary>(shape: &Shape, inner: &Inner) {
    let problem = shape.problem();
    let alone = results::<T>(&problem, inner, Threads::serial());
    assert_eq!(alone, results::<T>(&problem, inner, Threads::serial()), "two runs by one thread");
    for n_threads in [2, 5] {
        let pool = pool(n_threads).unwrap();
        let threads = Threads::with_pool(pool.as_deref());
        assert_eq!(threads.count(), n_threads);
        // More than once: which thread takes which block changes from run to run.
        for _ in 0..if cfg!(slow) { 1 } else { 3 } {
            assert_eq!(alone, results::<T>(&problem, inner, threads), "{n_threads} threads");
        }
    }
}

#[test]
fn small_clusters_alone_or_beside_each_other() {
    let sizes = (0..150).map(|i| 1 + i % 19).collect();
    let shape = Shape { hidden: vec![6], sizes, weighted: true, ..Shape::default() };
    same_on_any_threads::<f64>(&shape, &plain(3, 0.05));
    same_on_any_threads::<f32>(&shape, &Inner { momentum: 0.5, ..plain(3, 0.05) });
}

#[test]
fn few_rows_of_wide_layers() {
    let sizes = (0..60).map(|i| 1 + i % 3).collect();
    let shape = Shape { hidden: vec![64, 64], sizes, ..Shape::default() };
    same_on_any_threads::<f64>(&shape, &plain(2, 0.05));
    same_on_any_threads::<f32>(&shape, &plain(1, 0.05));
}

#[test]
fn large_clusters_split_by_rows_among_small_ones() {
    for split in [false, true] {
        same_on_any_threads::<f64>(&mixed(split), &plain(2, 0.05));
        same_on_any_threads::<f32>(&mixed(split), &Inner { momentum: 0.5, ..plain(2, 0.05) });
    }
}

/// A cluster that is split is the same cluster: against the sums over its parts, which are too small to be split.
#[test]
fn a_split_cluster_is_the_mean_of_its_rows() {
    let shape = Shape { sizes: vec![1500, 1500], hidden: vec![5], ..Shape::default() };
    let problem = shape.problem();
    let data = Data::<f64>::of(&problem);
    let objective = Objective { loss: problem.loss, alpha: 1.0, inner: plain(0, 0.1), skip_diverged: false };
    let value = |clusters: &Clusters<'_, f64>| {
        let threads = Threads::serial();
        evaluate(&problem.net, &data.theta, clusters, None, &objective, ExtraOutputs::default(), threads).unwrap()
    };
    let whole = value(&data.clusters());
    let offsets: Vec<usize> = (0..=30).map(|i| i * 100).collect();
    let parts = value(&Clusters { offsets: &offsets, ..data.clusters() });
    // Only the order of 3000 terms differs.
    assert!(distance(&whole.gradient, &parts.gradient, 0.0) < 1e-13);
    assert!(distance(&[whole.value], &[parts.value], 0.0) < 1e-13);
}

/// Chunks of a smaller cluster may be more than those of a larger one, because chunks grow in steps of 64 rows.
#[test]
fn split_clusters_of_sizes_whose_chunks_cross() {
    let shape = Shape { inputs: 1, hidden: vec![], sizes: vec![8193, 8192], ..Shape::default() };
    same_on_any_threads::<f64>(&shape, &plain(1, 0.05));
    let shape = Shape { sizes: vec![8193], split: true, ..shape };
    let mut problem = shape.problem();
    problem.n_support = Some(vec![8192]);
    let alone = results::<f64>(&problem, &plain(1, 0.05), Threads::serial());
    let pool = pool(2).unwrap();
    assert_eq!(alone, results::<f64>(&problem, &plain(1, 0.05), Threads::with_pool(pool.as_deref())));
}

/// Clusters in another order, and rows within them: the same up to the rounding of sums in another order.
#[test]
fn order_of_rows_and_clusters_does_not_matter() {
    let problem = Shape { sizes: vec![6, 3, 11, 1], hidden: vec![8], ..Shape::default() }.problem();
    let mut turned = problem.clone();
    let width = problem.net.n_inputs();
    turned.x = problem.x.chunks_exact(width).rev().flatten().copied().collect();
    turned.y.reverse();
    let rows = problem.offsets[4];
    turned.offsets = problem.offsets.iter().rev().map(|o| rows - o).collect();
    let gradient = |problem: &Problem| {
        let data = Data::<f64>::of(problem);
        let objective = Objective { loss: problem.loss, alpha: 0.3, inner: plain(4, 0.05), skip_diverged: false };
        let (clusters, threads) = (data.clusters(), Threads::serial());
        evaluate(&problem.net, &data.theta, &clusters, None, &objective, ExtraOutputs::default(), threads)
            .unwrap()
            .gradient
    };
    assert!(distance(&gradient(&turned), &gradient(&problem), 0.0) < 1e-13);
}

fn trainer<T: Elementary>(problem: &Problem, batch_size: Option<usize>, seed: u64) -> Trainer<T> {
    let objective = Objective { loss: problem.loss, alpha: 0.5, inner: plain(2, 0.05), skip_diverged: false };
    let optimizer = Optimizer {
        rule: Rule::Adam(Moments { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 }),
        learning_rate: 0.02,
        penalties: Penalties { decoupled: Decay { strength: 0.01, biases: true }, ..Penalties::default() },
        clip_norm: Some(1.0),
        schedule: Schedule::Cosine { steps: 15.0 },
        ..Optimizer::default()
    };
    Trainer::new(problem.net.clone(), narrowed(&problem.theta), objective, optimizer, batch_size, seed).unwrap()
}

fn chunks_do_not_matter<T: Elementary>() {
    let problem = Shape { sizes: vec![4, 9, 1, 5, 7, 3, 2], hidden: vec![5], ..Shape::default() }.problem();
    let data = Data::<T>::of(&problem);
    for batch_size in [None, Some(1), Some(3), Some(7), Some(100)] {
        let mut whole = trainer::<T>(&problem, batch_size, 5);
        let values = whole.advance(&data.clusters(), 15, Threads::serial()).unwrap();
        let mut parts = trainer::<T>(&problem, batch_size, 5);
        let pool = pool(2).unwrap();
        let threads = Threads::with_pool(pool.as_deref());
        let chunks = [1, 0, 4, 7, 3];
        let again: Vec<f64> =
            chunks.iter().flat_map(|&n| parts.advance(&data.clusters(), n, threads).unwrap()).collect();
        assert_eq!(bits(&values), bits(&again), "batches of {batch_size:?}");
        assert_eq!(bits(&whole.state().theta), bits(&parts.state().theta));
        assert_eq!(whole.state(), parts.state());
        assert_eq!(whole.state().n_steps, 15);
        // A state may be taken over by another trainer, in the middle of an epoch.
        let mut first = trainer::<T>(&problem, batch_size, 5);
        first.advance(&data.clusters(), 5, threads).unwrap();
        let mut second = trainer::<T>(&problem, batch_size, 5);
        second.restore(first.state().clone()).unwrap();
        second.advance(&data.clusters(), 10, threads).unwrap();
        assert_eq!(whole.state(), second.state());
    }
}

#[test]
fn training_in_chunks_or_in_one_go() {
    chunks_do_not_matter::<f64>();
    chunks_do_not_matter::<f32>();
}

/// Over an epoch each cluster is drawn once, and the order is another one in the next epoch and with another seed.
#[test]
fn batches_are_without_replacement() {
    // With a rate too small to move θ, the value of a step tells which clusters were in it.
    let problem = Shape { sizes: vec![1; 6], hidden: vec![], ..Shape::default() }.problem();
    let data = Data::<f64>::of(&problem);
    let values = |seed: u64| {
        let mut trainer = trainer::<f64>(&problem, Some(1), seed);
        trainer.objective.alpha = 1.0;
        trainer.optimizer = Optimizer { learning_rate: 1e-300, ..Optimizer::default() };
        bits(&trainer.advance(&data.clusters(), 12, Threads::serial()).unwrap())
    };
    let (one, other) = (values(1), values(2));
    let sorted = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part
    };
    let all = sorted(&one[..6]);
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "a cluster was drawn twice in an epoch");
    assert_eq!(all, sorted(&one[6..]));
    assert_eq!(all, sorted(&other[..6]));
    assert_ne!(one[..6], one[6..]);
    assert_ne!(one, other);
}

/// Scratch that an earlier call left behind, with other shapes and with infinities in it, does not show.
#[test]
fn earlier_calls_leave_nothing_behind() {
    for hidden in [vec![9, 5], vec![64, 64]] {
        let shape = Shape { sizes: vec![2, 17, 1], hidden, loss: Loss::Poisson, ..Shape::default() };
        leaves_nothing_behind(&shape);
    }
}

fn leaves_nothing_behind(shape: &Shape) {
    let problem = shape.problem();
    let fresh = std::thread::scope(|scope| {
        let run = || results::<f64>(&problem, &plain(3, 0.02), Threads::serial());
        scope.spawn(run).join().unwrap()
    });
    for seed in 1..4 {
        let mut wild = Shape { seed, ..shape.clone() }.problem();
        wild.x.iter_mut().for_each(|x| *x *= 1e6);
        let data = Data::<f64>::of(&wild);
        let objective = Objective { loss: wild.loss, alpha: 0.5, inner: plain(3, 10.0), skip_diverged: true };
        let (clusters, threads) = (data.clusters(), Threads::serial());
        let result = evaluate(&wild.net, &data.theta, &clusters, None, &objective, ExtraOutputs::default(), threads);
        assert!(result.map_or(true, |found| found.n_skipped > 0), "some clusters are meant to diverge");
        assert_eq!(fresh, results::<f64>(&problem, &plain(3, 0.02), Threads::serial()));
    }
}
