//! Hessian-vector products of the mean loss, and each cluster's largest curvature.

use crate::dense::vectors::{self, finite, overflowed};
use crate::network::architecture::Architecture;
use crate::network::layout::Layout;
use crate::network::loss::Loss;
use crate::network::start::Start;
use crate::network::workspace::{Buffer, From, Sink};
use crate::network::{Network, Point};
use crate::objective::check_point;
use crate::objective::clusters::{Clusters, WorkPartition};
use crate::objective::inner::Path;
use crate::objective::rows::Engine;
use crate::objective::setting::{Inner, Setting};
use crate::objective::sweep::{ClusterReduction, sweep};
use crate::simd::math::Elementary;
use crate::simd::{Backend, Isa};
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::random::Random;
use crate::system::threads::Threads;
use crate::with_isa;

/// The Hessian of Σ n_c L_c / N at flat `theta`, times `direction`. With a support/query split only the support rows count.
///
/// # Errors
/// Misuse, or [`KernelError::Interrupted`].
pub fn hessian_vector<T: Elementary>(
    architecture: &Architecture,
    theta: &[T],
    direction: &[T],
    data: &Clusters<'_, T>,
    loss: Loss,
    threads: Threads<'_>,
) -> Result<Vec<T>, KernelError> {
    check_point(architecture, theta, data, loss)?;
    let (got, needed) = (direction.len(), architecture.n_parameters());
    if got != needed {
        return Err(KernelError::Length { what: "v", got, needed });
    }
    finite("v", direction)?;
    with_isa!(Backend::detect(), isa => {
        let layout = Layout::new::<T>(architecture);
        let network = Network { isa, layout: &layout, loss, threads: threads.alone() };
        let (start, direction) = (Start::new(&network, theta)?, Start::of_direction(&network, direction)?);
        let reduction = HessianProduct { direction: direction.point(), data };
        let partition = WorkPartition::of(data, None, layout.len);
        let setting = Setting::forward(network, start.point(), Inner::NONE);
        let total = sweep(&reduction, &setting, data, None, &partition, threads)?;
        total.faults.none(data.n_clusters())?;
        let mut flat = memory::zeros("the product", needed)?;
        layout.unpack(&total.sum, &mut flat, |x| T::from_f64(x / total.weight));
        overflowed("the product", &flat)?;
        Ok(flat)
    })
}

/// Clusters whose derivatives were not finite: the first, and how many.
#[derive(Default)]
struct Faults {
    first: Option<usize>,
    count: usize,
}

impl Faults {
    fn add(&mut self, cluster: usize) {
        self.merge(&Self { first: Some(cluster), count: 1 });
    }

    fn merge(&mut self, other: &Self) {
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.count += other.count;
    }

    /// An error unless there are none.
    fn none(&self, n_clusters: usize) -> Result<(), KernelError> {
        let diverged =
            |cluster| KernelError::Diverged { cluster, step: 0, loss: f64::NAN, n_diverged: self.count, n_clusters };
        self.first.map_or(Ok(()), |cluster| Err(diverged(cluster)))
    }
}

/// Σ n_c H_c v and Σ n_c.
struct ProductSum {
    sum: Buffer<f64>,
    weight: f64,
    faults: Faults,
}

/// Hessian-vector products of all clusters with one direction.
struct HessianProduct<'a, T> {
    direction: Point<'a, T>,
    data: &'a Clusters<'a, T>,
}

impl<S: Isa, T: Elementary> ClusterReduction<S, T> for HessianProduct<'_, T> {
    type Sums = ProductSum;

    fn sums(&self) -> Result<ProductSum, KernelError> {
        Ok(ProductSum {
            sum: Buffer::new("a Hessian product", self.direction.theta.len())?,
            weight: 0.0,
            faults: Faults::default(),
        })
    }

    fn visit<E: Engine<T>>(
        &self,
        cluster: usize,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
        path: &mut Path<T>,
        total: &mut ProductSum,
    ) -> Result<(), KernelError> {
        let weight = self.data.cluster_weight(cluster);
        let sink = Sink::new(From::Zero, &mut path.adjoint, T::from_f64(1.0));
        engine.tangent(0, &setting.start, &self.direction, sink);
        if !vectors::all_finite(setting.network.isa, &path.adjoint) {
            total.faults.add(cluster);
        }
        vectors::add_scaled(setting.network.isa, weight, &path.adjoint, &mut total.sum);
        total.weight += weight;
        Ok(())
    }

    fn merge(&self, total: &mut Self::Sums, part: Self::Sums) {
        total.sum.iter_mut().zip(part.sum.iter()).for_each(|(sum, x)| *sum += x);
        total.weight += part.weight;
        total.faults.merge(&part.faults);
    }
}

/// Largest eigenvalue of each cluster's Hessian at flat `theta`, by power iteration.
///
/// Power iteration finds the eigenvalue of largest magnitude; when that is negative, the Hessian is shifted by it and
/// iterated once more, so that the result is the largest one with its sign. The start is a fixed random vector.
///
/// # Errors
/// Misuse, or [`KernelError::Interrupted`].
pub fn curvature<T: Elementary>(
    architecture: &Architecture,
    theta: &[T],
    data: &Clusters<'_, T>,
    loss: Loss,
    n_iterations: usize,
    threads: Threads<'_>,
) -> Result<Vec<f64>, KernelError> {
    check_point(architecture, theta, data, loss)?;
    if n_iterations == 0 {
        return Err(KernelError::Range { what: "n_iterations", got: 0.0, needed: "at least 1" });
    }
    with_isa!(Backend::detect(), isa => {
        let layout = Layout::new::<T>(architecture);
        let network = Network { isa, layout: &layout, loss, threads: threads.alone() };
        let start = Start::new(&network, theta)?;
        let mut random = Random::new(0, "curvature", 0);
        let draws = theta.iter().map(|_| T::from_f64(random.normal()));
        let flat: Vec<T> = memory::list("a direction", draws)?;
        let first = Start::of_direction(&network, &flat)?;
        let reduction = PowerIteration { first: first.point(), n_iterations, threads };
        let partition = WorkPartition::of(data, None, layout.len);
        let setting = Setting::forward(network, start.point(), Inner::NONE);
        let mut found = sweep(&reduction, &setting, data, None, &partition, threads)?;
        found.sort_by_key(|&(cluster, _)| cluster);
        let mut faults = Faults::default();
        found.iter().filter(|(_, value)| !value.is_finite()).for_each(|&(cluster, _)| faults.add(cluster));
        faults.none(data.n_clusters())?;
        Ok(found.into_iter().map(|(_, value)| value).collect())
    })
}

/// Each cluster's largest eigenvalue, from one start.
struct PowerIteration<'a, T> {
    first: Point<'a, T>,
    n_iterations: usize,
    threads: Threads<'a>,
}

impl<S: Isa, T: Elementary> ClusterReduction<S, T> for PowerIteration<'_, T> {
    type Sums = Vec<(usize, f64)>;

    fn sums(&self) -> Result<Self::Sums, KernelError> {
        Ok(Vec::new())
    }

    fn visit<E: Engine<T>>(
        &self,
        cluster: usize,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
        path: &mut Path<T>,
        sums: &mut Self::Sums,
    ) -> Result<(), KernelError> {
        let largest = self.iterate(setting, engine, path, 0.0)?;
        let value = if largest < 0.0 { self.iterate(setting, engine, path, largest)? } else { largest };
        memory::reserve_one("the curvatures", sums)?;
        sums.push((cluster, value));
        Ok(())
    }

    fn merge(&self, total: &mut Self::Sums, part: Self::Sums) {
        total.extend(part);
    }
}

impl<T: Elementary> PowerIteration<'_, T> {
    /// Rayleigh quotient of H after iterating H − shift·I.
    fn iterate<S: Isa, E: Engine<T>>(
        &self,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
        path: &mut Path<T>,
        shift: f64,
    ) -> Result<f64, KernelError> {
        let network = setting.network;
        let (product, direction) = (&mut path.adjoint, &mut path.before);
        direction.copy_from_slice(self.first.theta);
        let mut transposed = Buffer::new("a Hessian product", network.layout.transposed_len)?;
        let mut value = 0.0;
        for _ in 0..self.n_iterations {
            self.threads.check()?;
            let norm = dot(direction, direction).sqrt();
            if norm == 0.0 || !norm.is_finite() {
                return Ok(if norm == 0.0 { shift } else { f64::NAN });
            }
            direction.iter_mut().for_each(|d| *d = T::from_f64(d.to_f64() / norm));
            network.transpose(direction, &mut transposed);
            let point = Point { theta: direction, transposed: &transposed };
            engine.tangent(0, &setting.start, &point, Sink::new(From::Zero, product, T::from_f64(1.0)));
            network.layout.clear_biases(product);
            value = dot(direction, product);
            for (d, p) in direction.iter_mut().zip(product.iter()) {
                *d = T::from_f64(p.to_f64() - shift * d.to_f64());
            }
        }
        Ok(value)
    }
}

fn dot<T: Elementary>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}
