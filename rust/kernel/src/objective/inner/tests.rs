//! All ways of keeping a path give the same derivative.

use super::*;
use crate::network::Network;
use crate::network::activation::Activation;
use crate::network::architecture::Architecture;
use crate::network::layout::Layout;
use crate::network::loss::Loss;
use crate::network::start::Start;
use crate::objective::clusters::Clusters;
use crate::objective::rows::Records;
use crate::objective::rows::{Prepared, Serial};
use crate::objective::setting::{Inner, Plan, StepSize};
use crate::simd::Backend;
use crate::system::random::Random;
use crate::testing::epsilon;
use crate::with_isa;

const ROWS: usize = 21;
const STEPS: usize = if cfg!(miri) { 5 } else { 13 };

/// A cluster whose first rows adapt, a network, and an inner loop.
struct Fixture<T> {
    net: Architecture,
    x: Vec<T>,
    y: Vec<T>,
    theta: Vec<T>,
    rates: Option<Vec<T>>,
    momentum: f64,
}

impl<T: Elementary> Fixture<T> {
    fn new(momentum: f64, own_rates: bool) -> Self {
        let net = Architecture::new(2, &[9, 5], 2, Activation::Silu).unwrap();
        let mut random = Random::new(1, "plans", 0);
        let mut numbers =
            |n: usize, scale: f64| (0..n).map(|_| T::from_f64(scale * random.normal())).collect::<Vec<_>>();
        let n = net.n_parameters();
        let (x, y, theta, noise) = (numbers(2 * ROWS, 1.0), numbers(2 * ROWS, 1.0), numbers(n, 0.5), numbers(n, 1.0));
        let rate = |noise: T| T::from_f64(0.05 * (1.0 + 0.5 * noise.to_f64().tanh()));
        let rates = own_rates.then(|| noise.into_iter().map(rate).collect());
        Self { net, x, y, theta, rates, momentum }
    }

    fn data(&self) -> Clusters<'_, T> {
        Clusters {
            x: &self.x,
            y: &self.y,
            offsets: &[0, ROWS],
            weights: None,
            n_support: None,
            cluster_weights: None,
            precision: None,
        }
    }

    /// θ^k, the derivative of the adapted loss and that in η, all padded, by one way of keeping the path.
    fn walk<S: Isa>(&self, isa: S, plan: Plan, rate_gradient: bool) -> [Vec<f64>; 3] {
        let layout = Layout::new::<T>(&self.net);
        let network = Network { isa, layout: &layout, loss: Loss::Squared, threads: Threads::serial() };
        let start = Start::new(&network, &self.theta).unwrap();
        let rates = self.rates.as_ref().map(|flat| {
            let mut padded = Buffer::new("a test", layout.len).unwrap();
            layout.pack(flat, &mut padded);
            padded
        });
        let (step_size, momentum) = (StepSize::Common(0.05), self.momentum);
        let inner = Inner { steps: STEPS, step_size, momentum, head_only: false, first_order: false };
        let rates = rates.as_deref();
        let setting = Setting { rates, plan, rate_gradient, ..Setting::forward(network, start.point(), &inner) };
        let mut path = Path::new(&setting).unwrap();
        let data = self.data();
        let sides = [0..12, 12..ROWS].map(|rows| {
            let mut side = Prepared::new(&network, ROWS).unwrap();
            side.fill(&data, self.net.n_inputs(), rows);
            side
        });
        let mut records = Records::new(&network, ROWS, plan.slots(), plan.keep_records).unwrap();
        let sides = sides.each_ref().map(|side| side.batch(&data));
        let mut engine = Serial { network, sides, precision: None, records: &mut records };
        let threads = Threads::serial();
        let walked = (|| {
            path.adapt(&setting, &mut engine, &threads, false)?;
            let adapted = path.point(&setting, STEPS).theta.to_vec();
            path.measure(&setting, &mut engine)?;
            if plan != Plan::FORWARD {
                path.pull_back(&setting, &mut engine, &threads)?;
            }
            Ok::<_, InnerError>(adapted)
        })();
        let Ok(adapted) = walked else { panic!("the path diverged") };
        [&adapted[..], &path.adjoint, &path.rates].map(|v| v.iter().map(|x| x.to_f64()).collect())
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn check_plans<S: Isa, T: Elementary>(isa: S) {
    let settings = [(0.6, true, true), (0.0, false, false), (0.0, true, false), (0.6, true, false)];
    // Segments that divide the steps, that leave a rest, and one longer than the path.
    let segments = [3, 1, 2, 4, 5, 6, 7, 12, 13, 20];
    let few = |n| if cfg!(miri) { 1 } else { n }; // an interpreter is a thousand times slower
    for &(momentum, own_rates, rate_gradient) in &settings[..few(settings.len())] {
        let fixture = Fixture::<T>::new(momentum, own_rates);
        let whole = Plan { segment: STEPS, keep_records: true, way_back: true };
        let expected = fixture.walk(isa, whole, rate_gradient);
        for &segment in &segments[..few(segments.len())] {
            for keep_records in [true, false] {
                let plan = Plan { segment, keep_records, ..whole };
                for (found, expected) in fixture.walk(isa, plan, rate_gradient).iter().zip(&expected) {
                    let difference: Vec<f64> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
                    // The same sums in the same order: records found again differ in nothing. The bound allows for a
                    // kernel that sums the rows of a record anew in other parts.
                    let bound = 500.0 * epsilon::<T>() * norm(expected);
                    assert!(norm(&difference) <= bound, "{plan:?}, {:e}", norm(&difference) / norm(expected));
                }
            }
        }
        let [adapted, _, _] = fixture.walk(isa, Plan::FORWARD, rate_gradient);
        assert_eq!(adapted, expected[0], "without a way back the path is the same");
    }
}

#[test]
fn every_plan_gives_the_same_derivative() {
    with_isa!(Backend::detect(), isa => {
        check_plans::<_, f64>(isa);
        check_plans::<_, f32>(isa);
    });
}

/// The richest plan that fits: everything, then without records, then in segments, and those without records.
#[test]
fn plans_follow_the_budget() {
    let net = Architecture::new(2, &[64, 64], 1, Activation::Silu).unwrap();
    let layout = Layout::new::<f64>(&net);
    let choose = |rows, steps, way_back| {
        with_isa!(Backend::detect(), isa => {
            let network = Network { isa, layout: &layout, loss: Loss::Squared, threads: Threads::serial() };
            Plan::choose::<_, f64>(&network, rows, steps, way_back)
        })
    };
    let plan = |segment, keep_records| Plan { segment, keep_records, way_back: true };
    // A point takes about 80 KB, a row's record 5 KB: 24 MB hold 300 points.
    assert_eq!(choose(10, 5, true), plan(5, true));
    assert_eq!(choose(4000, 5, true), plan(5, false));
    assert_eq!(choose(4, 400, true), plan(20, true));
    assert_eq!(choose(700, 400, true), plan(20, false));
    // Beyond every budget, the one that grows slowest.
    assert_eq!(choose(700, 1_000_000, true), plan(1000, false));
    assert_eq!(choose(10, 5, false), Plan::FORWARD);
    assert_eq!(choose(10, 0, true), Plan::FORWARD);
    assert_eq!(Plan::FORWARD.slots(), 2);
}
