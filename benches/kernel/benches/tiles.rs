//! The forward product of square layers on one thread, beside plain loops and the `gemm` crate.
//!
//! The kernel's tiles are not public. What comes nearest is `predict` without an activation: between its narrow first and
//! last layer two products of full width, with their bias. It works in blocks of 512 rows, so the others get those too;
//! there are many blocks, because each call packs the parameters first. `passes` has the blocks of few rows.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rfp_benches::{Kind, Operands, Product, normal};
use rfp_kernel::{Activation, Architecture, Threads, predict};

const ROWS: usize = 512;
const BLOCKS: usize = 16;

fn tiles(criterion: &mut Criterion) {
    for width in [16, 32, 63, 64, 100, 128, 256] {
        let net = Architecture::new(1, &[width; 3], 1, Activation::Identity).expect("the widths are positive");
        let theta = normal("theta", net.n_parameters(), (width as f64).powf(-0.5));
        let (x, mut outputs) = (normal("x", BLOCKS * ROWS, 1.0), vec![0.0; BLOCKS * ROWS]);
        let products = [Product { rows: ROWS, inner: width, cols: width, kind: Kind::Forward }; 2 * BLOCKS];
        let mut operands = Operands::new(&products);

        let mut group = criterion.benchmark_group(format!("forward/{ROWS}x{width}x{width}"));
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

criterion_group!(benches, tiles);
criterion_main!(benches);
