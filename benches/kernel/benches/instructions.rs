//! Instructions of the passes, counted by callgrind: the same on every run, so that commits can be compared.
//!
//!     cargo install gungraun-runner --version 0.20.0
//!     cargo bench --package rfp-benches --bench instructions
//!
//! Valgrind knows no AVX-512, so these are the counts of the AVX2 code and of the portable code.

use std::path::Path;

/// The benchmarks proper; the macros want a module of their own, because they define `main`.
mod counted {
    use std::hint::black_box;

    use gungraun::{LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
    use rfp_benches::{Problem, WORKLOADS, Workload, normal};
    use rfp_kernel::{ExtraOutputs, Loss, Threads, evaluate, hessian_vector};

    fn setup(index: usize) -> (Workload, Problem) {
        // One cluster says it all.
        let work = Workload { clusters: 1, ..WORKLOADS[index] };
        (work, work.problem())
    }

    fn outer((work, problem): &(Workload, Problem)) -> f64 {
        let (net, data) = (&problem.architecture, problem.clusters());
        let objective = work.objective(0.5);
        evaluate(net, &problem.theta, &data, None, &objective, ExtraOutputs::default(), Threads::serial())
            .unwrap()
            .value
    }

    #[library_benchmark]
    #[bench::a(setup(0))]
    #[bench::b(setup(1))]
    #[bench::c(setup(2))]
    #[bench::d(setup(3))]
    fn widest(case: (Workload, Problem)) -> f64 {
        black_box(outer(black_box(&case)))
    }

    #[library_benchmark(config = LibraryBenchmarkConfig::default().env("RFPCORE_ISA", "portable"))]
    #[bench::a(setup(0))]
    #[bench::d(setup(3))]
    fn portable(case: (Workload, Problem)) -> f64 {
        black_box(outer(black_box(&case)))
    }

    #[library_benchmark]
    #[bench::d(setup(3))]
    fn product(case: (Workload, Problem)) -> Vec<f32> {
        let (net, theta, data) = (&case.1.architecture, &case.1.theta, case.1.clusters());
        let direction = normal("direction", theta.len(), 1.0);
        hessian_vector(net, theta, &direction, &data, Loss::Squared, Threads::serial()).unwrap()
    }

    library_benchmark_group!(name = outer_gradient; benchmarks = widest, portable);
    library_benchmark_group!(name = hessian; benchmarks = product);

    main!(library_benchmark_groups = outer_gradient, hessian);

    pub fn run() {
        main();
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder: std::path::PathBuf| Path::new(&folder).join(program).is_file())
}

fn main() {
    // Under callgrind the environment is empty and the first argument tells what to run.
    let asked_by_runner = std::env::args().any(|argument| argument == "--gungraun-run");
    for (program, remedy) in [
        ("valgrind", "install it from the system's packages"),
        ("gungraun-runner", "cargo install gungraun-runner --version 0.20.0"),
    ] {
        if !asked_by_runner && !on_path(program) {
            eprintln!("instructions are not counted: {program} is missing ({remedy})");
            return;
        }
    }
    counted::run();
}
