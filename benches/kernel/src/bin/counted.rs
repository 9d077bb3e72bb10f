//! Passes whose instructions callgrind counts, for `benches/instructions.py`.
//!
//!     counted                  the names of the cases
//!     counted CASE CALLS       calls one so many times, after a first call that is the same for any number
//!
//! What one call takes is the difference between two runs: neither the start of the program nor the first call's
//! memory is in it.

use std::hint::black_box;

use rfp_benches::{Problem, WORKLOADS, Workload, normal};
use rfp_kernel::many::{Dropout, Length, Recording, Selection, Spec, Task, fit_many};
use rfp_kernel::{ExtraOutputs, Loss, Threads, evaluate, hessian_vector};

/// What a call works on: a workload with one cluster, for the others are repetition.
struct Case {
    work: Workload,
    problem: Problem,
}

type Call = fn(&Case);

/// Name, workload, and what is called.
const CASES: [(&str, usize, Call); 7] = [
    ("outer A", 0, outer),
    ("outer B", 1, outer),
    ("outer C", 2, outer),
    ("outer D", 3, outer),
    ("gradient D", 3, gradient),
    ("product D", 3, product),
    ("mini-batches D", 3, mini_batches),
];

fn value_and_gradient(case: &Case, alpha: f64) {
    let (net, data) = (&case.problem.architecture, case.problem.clusters());
    let (objective, wanted) = (case.work.objective(alpha), ExtraOutputs::default());
    let found = evaluate(net, &case.problem.theta, &data, None, &objective, wanted, Threads::serial());
    black_box(found.expect("the workloads do not diverge").gradient);
}

fn outer(case: &Case) {
    value_and_gradient(case, 0.5);
}

fn gradient(case: &Case) {
    value_and_gradient(case, 1.0);
}

fn product(case: &Case) {
    let (net, theta, data) = (&case.problem.architecture, &case.problem.theta, case.problem.clusters());
    let direction = normal("direction", theta.len(), 1.0);
    let found = hessian_vector(net, theta, &direction, &data, Loss::Squared, Threads::serial());
    black_box(found.expect("all numbers are finite"));
}

/// Twenty steps of 16 rows.
fn mini_batches(case: &Case) {
    let train = Selection { of: case.problem.rows(), rows: None, weights: None };
    let no_dropout = Dropout { rates: vec![0.0; 2], inputs: 0.0, by_row: true };
    let untrained = Spec::untrained(case.problem.architecture.clone(), Loss::Squared, no_dropout, 0);
    let spec = Spec { dropout: None, batch_size: Some(16), length: Length::Steps(20), ..untrained };
    let task = Task { spec: &spec, theta: &case.problem.theta, train, batches: None, held_out: None, test: None };
    let deliver = |_, outcome| drop(black_box(outcome));
    fit_many(&[task], &Recording::default(), Threads::serial(), deliver).expect("all numbers are finite");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, calls] = &arguments[..] else {
        CASES.iter().for_each(|(name, ..)| println!("{name}"));
        return;
    };
    let (_, workload, call) = CASES.iter().find(|(known, ..)| known == name).expect("a case of the list");
    let work = Workload { clusters: 1, ..WORKLOADS[*workload] };
    let case = Case { work, problem: work.problem() };
    for _ in 0..calls.parse().expect("a number of calls") {
        call(black_box(&case));
    }
}
