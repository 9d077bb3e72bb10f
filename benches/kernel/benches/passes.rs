//! The passes on one thread, beside their matrix products alone, by plain loops and by the `gemm` crate.
//!
//! The baselines do less than the passes: no activations, no losses, no steps, operands that stay in the cache.

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use rfp_benches::{Operands, Product, WORKLOADS, Workload};
use rfp_kernel::{ExtraOutputs, Loss, Threads, evaluate, hessian_vector};

fn baselines(group: &mut BenchmarkGroup<'_, WallTime>, work: &Workload, products: &[Product]) {
    let mut operands = Operands::new(products);
    let mut all = |multiply: fn(&Product, &[f32], &[f32], &mut [f32])| {
        for _ in 0..work.clusters {
            black_box(operands.each(products, multiply));
        }
    };
    group.bench_function("gemm", |bencher| bencher.iter(|| all(Product::gemm)));
    group.bench_function("naive", |bencher| bencher.iter(|| all(Product::naive)));
}

fn passes(criterion: &mut Criterion) {
    for work in &WORKLOADS {
        let problem = work.problem();
        let (net, theta, data) = (&problem.architecture, &problem.theta, problem.clusters());
        let direction = rfp_benches::normal("direction", theta.len(), 1.0);
        let serial = Threads::serial();
        let evaluate =
            |alpha| evaluate(net, theta, &data, None, &work.objective(alpha), ExtraOutputs::default(), serial).unwrap();
        let cases: [(&str, usize, usize, &dyn Fn()); 3] = [
            ("gradient", 1, 0, &|| drop(black_box(evaluate(1.0)))),
            ("hessian_vector", 1, 1, &|| {
                drop(black_box(hessian_vector(net, theta, &direction, &data, Loss::Squared, serial)));
            }),
            ("outer", work.steps + 1, work.steps, &|| drop(black_box(evaluate(0.5)))),
        ];
        for (pass, gradients, tangents, run) in cases {
            let products = work.products(gradients, tangents);
            let flops: u64 = products.iter().map(Product::flops).sum();
            let mut group = criterion.benchmark_group(format!("{pass}/{}", work.name));
            group.throughput(Throughput::Elements(flops * work.clusters as u64));
            group.bench_function("kernel", |bencher| bencher.iter(run));
            baselines(&mut group, work, &products);
            group.finish();
        }
    }
}

criterion_group!(benches, passes);
criterion_main!(benches);
