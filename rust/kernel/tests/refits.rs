//! Refits against trainers that see only the clusters in question.

use std::sync::atomic::AtomicBool;

use rfp_kernel::{
    Clusters, ExtraOutputs, KernelError, Moments, Objective, Optimizer, Refit, Refitted, Rule, Threads, Trainer, Watch,
    evaluate, pool, refit,
};

use crate::common::problems::plain;
use crate::common::{Data, Problem, Shape, distance};

const WATCH: Watch = Watch { every: 3, patience: usize::MAX, min_gain: 0.0, alpha: None, keep: false };

fn shape() -> Shape {
    Shape { sizes: vec![5, 2, 9, 4, 7, 3], hidden: vec![6], weighted: true, ..Shape::default() }
}

fn trainer(problem: &Problem, batch_size: Option<usize>, seed: u64) -> Trainer<f64> {
    let objective = Objective { loss: problem.loss, alpha: 0.3, inner: plain(2, 0.05), skip_diverged: false };
    let rule = Rule::Adam(Moments::default());
    let optimizer = Optimizer { rule, learning_rate: 0.01, ..Optimizer::default() };
    Trainer::new(problem.net.clone(), problem.theta.clone(), objective, optimizer, batch_size, seed).unwrap()
}

/// The rows of some clusters, copied: data that hold no others.
fn copied(problem: &Problem, clusters: &[usize]) -> Problem {
    let rows: Vec<usize> = clusters.iter().flat_map(|&c| problem.offsets[c]..problem.offsets[c + 1]).collect();
    let mut offsets = vec![0];
    for &c in clusters {
        offsets.push(offsets[offsets.len() - 1] + problem.offsets[c + 1] - problem.offsets[c]);
    }
    let inputs = problem.net.n_inputs();
    Problem {
        net: problem.net.clone(),
        loss: problem.loss,
        theta: problem.theta.clone(),
        x: rows.iter().flat_map(|&i| problem.x[i * inputs..(i + 1) * inputs].to_vec()).collect(),
        y: rows.iter().map(|&i| problem.y[i]).collect(),
        weights: problem.weights.as_ref().map(|w| rows.iter().map(|&i| w[i]).collect()),
        offsets,
        n_support: None,
        cluster_weights: None,
    }
}

fn leave_one_out(n_clusters: usize) -> Vec<Vec<f64>> {
    (0..n_clusters).map(|out| (0..n_clusters).map(|c| f64::from(u8::from(c != out))).collect()).collect()
}

fn jackknife(problem: &Problem, data: &Clusters<'_, f64>, threads: Threads<'_>) -> Vec<Refitted<f64>> {
    let counts = leave_one_out(problem.n_clusters());
    let run = |(i, counts)| Refit { trainer: trainer(problem, Some(2), i as u64), counts, held_out: &[] };
    let runs: Vec<_> = counts.iter().map(Vec::as_slice).enumerate().map(run).collect();
    refit(&runs, data, 25, &WATCH, threads).unwrap()
}

#[test]
fn a_refit_has_the_bits_of_a_trainer_on_the_clusters_alone() {
    let problem = shape().problem();
    let data = Data::<f64>::of(&problem);
    for (out, run) in jackknife(&problem, &data.clusters(), Threads::serial()).iter().enumerate() {
        let kept: Vec<usize> = (0..problem.n_clusters()).filter(|&c| c != out).collect();
        let part = copied(&problem, &kept);
        let mut alone = trainer(&problem, Some(2), out as u64);
        alone.advance(&Data::of(&part).clusters(), 25, Threads::serial()).unwrap();
        assert_eq!(run.theta, alone.state().theta, "without cluster {out}");
        assert_eq!((run.n_steps, run.best_step, &run.fault), (25, 25, &None));
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let problem = shape().problem();
    let data = Data::<f64>::of(&problem);
    let alone = jackknife(&problem, &data.clusters(), Threads::serial());
    for n_threads in [2, 5] {
        let pool = pool(n_threads).unwrap();
        assert_eq!(alone, jackknife(&problem, &data.clusters(), Threads::with_pool(pool.as_deref())));
    }
}

#[test]
fn a_cluster_that_counts_twice_is_two_clusters() {
    let problem = shape().problem();
    let data = Data::<f64>::of(&problem);
    let counts = [2.0, 0.0, 1.0, 1.0, 0.0, 3.0];
    let runs = [Refit { trainer: trainer(&problem, None, 0), counts: &counts, held_out: &[] }];
    let found = refit(&runs, &data.clusters(), 10, &WATCH, Threads::serial()).unwrap();
    let twice = copied(&problem, &[0, 0, 2, 3, 5, 5, 5]);
    let mut alone = trainer(&problem, None, 0);
    alone.advance(&Data::of(&twice).clusters(), 10, Threads::serial()).unwrap();
    // The order of the sums differs, by roundings that ten steps of Adam carry on.
    assert!(distance(&found[0].theta, &alone.state().theta, 0.0) < 1e-11);
}

#[test]
fn held_out_clusters_keep_the_best_parameters_and_stop() {
    let problem = shape().problem();
    let data = Data::<f64>::of(&problem);
    let clusters = data.clusters();
    let counts = [1.0, 1.0, 1.0, 0.0, 1.0, 0.0];
    let held_out = [3, 5];
    let watch = Watch { every: 3, patience: 6, min_gain: 0.0, alpha: Some(1.0), keep: false };
    let run = |n_steps: usize, watch: &Watch| {
        let mut trainer = trainer(&problem, None, 0);
        trainer.optimizer.learning_rate = 0.05;
        let runs = [Refit { trainer, counts: &counts, held_out: &held_out }];
        refit(&runs, &clusters, n_steps, watch, Threads::serial()).unwrap().remove(0)
    };
    let loss = |theta: &[f64]| {
        let objective = Objective { loss: problem.loss, alpha: 1.0, inner: plain(0, 0.1), skip_diverged: false };
        let wanted = ExtraOutputs::default();
        evaluate(&problem.net, theta, &clusters, Some(&held_out), &objective, wanted, Threads::serial()).unwrap().value
    };
    let all = run(200, &Watch { patience: usize::MAX, ..watch });
    let least = all.held_out.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!((all.n_steps, all.held_out.len()), (200, 67), "a look every 3 steps, and one after the last");
    assert_eq!(loss(&all.theta), least);
    let stopped = run(200, &watch);
    let first_rise = all.held_out.windows(2).position(|pair| pair[1] >= pair[0]).unwrap();
    assert_eq!(stopped.held_out[..], all.held_out[..stopped.held_out.len()]);
    assert!(stopped.n_steps < 200 && stopped.n_steps >= stopped.best_step + 6, "{stopped:?}");
    assert!(stopped.held_out.len() > first_rise);
    assert_eq!(run(stopped.best_step as usize, &watch).theta, stopped.theta);
}

#[test]
fn a_run_that_diverges_leaves_the_others_alone() {
    let problem = shape().problem();
    let data = Data::<f64>::of(&problem);
    let counts = vec![1.0; 6];
    let runs = |rate: f64| {
        let mut wild = trainer(&problem, None, 0);
        wild.objective.inner = plain(40, rate);
        [wild, trainer(&problem, None, 0)].map(|trainer| Refit { trainer, counts: &counts, held_out: &[] }).to_vec()
    };
    let found = refit(&runs(1e200), &data.clusters(), 5, &WATCH, Threads::serial()).unwrap();
    assert!(matches!(found[0].fault, Some(KernelError::Diverged { .. })), "{:?}", found[0].fault);
    assert_eq!((found[0].n_steps, &found[0].theta), (0, &problem.theta));
    assert_eq!((found[1].n_steps, &found[1].fault), (5, &None));
}

#[test]
fn misuse_and_interruption() {
    let problem = shape().problem();
    let data = Data::<f64>::of(&problem);
    let clusters = data.clusters();
    let attempt = |counts: &[f64], held_out: &[usize], watch: &Watch, threads: Threads<'_>| {
        let runs = vec![Refit { trainer: trainer(&problem, None, 0), counts, held_out }];
        refit(&runs, &clusters, 5, watch, threads).map(|_| ()).unwrap_err().to_string()
    };
    let ones = [1.0; 6];
    let serial = Threads::serial;
    assert_eq!(attempt(&ones[..5], &[], &WATCH, serial()), "counts has 5 elements, needs 6");
    assert!(attempt(&[0.0; 6], &[], &WATCH, serial()).contains("the sum of counts must be above 0"));
    assert!(attempt(&[-1.0; 6], &[], &WATCH, serial()).contains("every count must be finite and at least 0, got -1"));
    assert!(attempt(&ones, &[2], &WATCH, serial()).contains("every held-out cluster's count must be 0, got 1"));
    assert!(attempt(&ones, &[6], &WATCH, serial()).contains("below the number of clusters, got 6"));
    assert!(attempt(&ones, &[], &Watch { every: 0, ..WATCH }, serial()).contains("every must be at least 1"));
    assert!(attempt(&ones, &[], &Watch { alpha: Some(2.0), ..WATCH }, serial()).contains("in [0, 1], got 2"));
    assert!(attempt(&ones, &[], &Watch { min_gain: -1.0, ..WATCH }, serial()).contains("min_gain"));
    let stop = AtomicBool::new(true);
    assert_eq!(attempt(&ones, &[], &WATCH, serial().with_stop(&stop)), "interrupted");
}
