//! Products with weights of every format: one row (a decoding step), some rows, and a prompt. The step from dot products to
//! written-out panels (`MANY_ROWS` in `src/kernels/product.rs`) is where neither side of it is the slower one.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Result, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use placebench_engine_candle::model::linear::{Linear, Matrix};

const OUTPUT: usize = 1536;
const INPUT: usize = 512;

fn maps() -> Result<Vec<(String, DType, Linear)>> {
    let weights = Tensor::randn(0_f32, 1.0, (OUTPUT, INPUT), &Device::Cpu)?;
    let mut maps = Vec::new();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let linear = Linear::new(Matrix::Dense(weights.to_dtype(dtype)?), None)?;
        maps.push((format!("{dtype:?}"), dtype, linear));
    }
    for format in [
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q8_0,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
    ] {
        let matrix = Matrix::Quantised(Arc::new(QTensor::quantize(&weights, format)?));
        maps.push((format!("{format:?}"), DType::F32, Linear::new(matrix, None)?));
    }
    Ok(maps)
}

fn linear(criterion: &mut Criterion) {
    let Ok(maps) = maps() else { return };
    let mut group = criterion.benchmark_group("linear");
    for (name, dtype, linear) in &maps {
        for rows in [1_usize, 4, 9, 10, 16, 256] {
            let x = Tensor::randn(0_f32, 1.0, (rows, INPUT), &Device::Cpu).and_then(|x| x.to_dtype(*dtype));
            let Ok(x) = x else { continue };
            group.throughput(Throughput::Elements((rows * OUTPUT * INPUT) as u64));
            group.bench_function(BenchmarkId::new(name, rows), |bencher| {
                bencher.iter(|| linear.forward(&x).is_ok());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, linear);
criterion_main!(benches);
