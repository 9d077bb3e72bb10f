//! The padded layout holds every parameter once, and padding apart from it.

use super::*;

fn check<T: Real + PartialEq>(inputs: usize, hidden: &[usize], outputs: usize, activation: Activation) {
    let net = Architecture::new(inputs, hidden, outputs, activation).unwrap();
    let layout = Layout::new::<T>(&net);
    let flat: Vec<T> = (1..=net.n_parameters()).map(|i| T::from_f64(i as f64)).collect();
    let mut padded = vec![T::default(); layout.len];
    layout.pack(&flat, &mut padded);
    let mut held: Vec<f64> = padded.iter().map(|x| x.to_f64()).filter(|&x| x != 0.0).collect();
    held.sort_by(f64::total_cmp);
    assert!(held.iter().copied().eq((1..=net.n_parameters()).map(|i| i as f64)), "each once");
    let mut back = vec![T::default(); flat.len()];
    layout.unpack(&padded, &mut back, |x| x);
    assert_eq!(back, flat);
    for layer in &layout.hidden {
        assert!(layer.stride.is_multiple_of(T::PAD) && !(layer.stride * T::SIZE).is_multiple_of(512));
        // W row by row, then b.
        for row in 0..layer.inputs {
            let at = layer.weights + row * layer.stride;
            let line = &padded[at..at + layer.width];
            assert!(line.windows(2).all(|w| w[1].to_f64() == w[0].to_f64() + 1.0));
        }
    }
    // The head's W is transposed: its inputs are neighbours, n_outputs apart in the flat vector.
    for output in 0..outputs {
        let at = layout.head_weights + output * layout.head_stride;
        let first = padded[at].to_f64();
        assert_eq!(first, (net.head_start() + 1 + output) as f64);
        for input in 0..layout.head_inputs {
            assert_eq!(padded[at + input].to_f64(), first + (input * outputs) as f64);
        }
        assert_eq!(padded[layout.head_bias + output].to_f64(), (net.n_parameters() - outputs + 1 + output) as f64);
    }
    // Parameters' padding is zero but for softplus's biases, where φ must vanish.
    layout.pack_parameters(&flat, &mut padded);
    let fills = padded.iter().filter(|x| x.to_f64() < 0.0).count();
    let expected: usize = layout.hidden.iter().map(|l| l.stride - l.width).sum();
    assert_eq!(fills, if activation == Activation::Softplus { expected } else { 0 });
}

#[test]
fn every_parameter_has_its_place() {
    for hidden in [&[][..], &[1], &[16], &[33], &[64, 3], &[7, 128, 1]] {
        for outputs in [1, 2, 17] {
            for inputs in [1, 8, 13] {
                check::<f32>(inputs, hidden, outputs, Activation::Tanh);
                check::<f64>(inputs, hidden, outputs, Activation::Softplus);
            }
        }
    }
}

#[test]
fn without_biases_their_places_stay_zero() {
    for hidden in [&[][..], &[5], &[7, 3]] {
        let with = Architecture::new(4, hidden, 2, Activation::Softplus).unwrap();
        let net = with.clone().without_biases();
        assert_eq!(net, net.clone().without_biases());
        assert_eq!(with.n_parameters() - net.n_parameters(), hidden.iter().sum::<usize>() + 2);
        assert_eq!(with.n_parameters() - with.head_start() - 2, net.n_parameters() - net.head_start());
        let layout = Layout::new::<f64>(&net);
        let flat: Vec<f64> = (1..=net.n_parameters()).map(|i| i as f64).collect();
        let mut padded = vec![0.0; layout.len];
        layout.pack_parameters(&flat, &mut padded);
        let kept = padded.clone();
        assert_eq!(padded.iter().filter(|&&x| x > 0.0).count(), flat.len());
        // What a gradient's step would write there is cleared, and nothing else.
        for layer in &layout.hidden {
            padded[layer.bias..layer.bias + layer.width].fill(9.0);
        }
        padded[layout.head_bias..layout.head_bias + 2].fill(9.0);
        layout.clear_biases(&mut padded);
        assert_eq!(padded, kept);
        let mut back = vec![0.0; flat.len()];
        layout.unpack(&padded, &mut back, |x| x);
        assert_eq!(back, flat);
        let covered: usize = net.spans().0.iter().map(|span| span.range.len()).sum();
        assert_eq!(covered, flat.len());
    }
}
