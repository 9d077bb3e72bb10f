//! The forward product of square layers on one thread, beside plain loops and the `gemm` crate.
//!
//! The kernel's tiles are not public. What comes nearest is `predict` with three hidden layers and no activation: two
//! products of full width, their bias, and a tenth of other work (packing the parameters, the narrow first and last layer).

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rfp_benches::{Kind, Operands, Product, normal};
use rfp_kernel::{Activation, Architecture, Threads, predict};

fn tiles(criterion: &mut Criterion) {
    for width in [32, 64, 128] {
        for rows in [25, 32, 100, 256] {
            let net = Architecture::new(1, &[width; 3], 1, Activation::Identity).expect("the widths are positive");
            let theta = normal("theta", net.n_parameters(), (width as f64).powf(-0.5));
            let (x, mut outputs) = (normal("x", rows, 1.0), vec![0.0; rows]);
            let products = [Product { rows, inner: width, cols: width, kind: Kind::Forward }; 2];
            let mut operands = Operands::new(&products);

            let mut group = criterion.benchmark_group(format!("forward/{rows}x{width}x{width}"));
            group.throughput(Throughput::Elements(products.iter().map(Product::flops).sum()));
            group.bench_function("kernel", |bencher| {
                bencher.iter(|| predict(&net, &theta, &x, black_box(&mut outputs), Threads::serial()));
            });
            group.bench_function("gemm", |bencher| {
                bencher.iter(|| black_box(operands.each(&products, Product::gemm))[0]);
            });
            group.bench_function("naive", |bencher| {
                bencher.iter(|| black_box(operands.each(&products, Product::naive))[0]);
            });
            group.finish();
        }
    }
}

criterion_group!(benches, tiles);
criterion_main!(benches);
