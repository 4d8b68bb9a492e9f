//! The chunker polynomial that every restic configuration carries.
//!
//! cofre cuts disks at fixed offsets and never uses it, but restic refuses to open a repository whose
//! polynomial is reducible, and a stray `restic backup` into the repository would chunk with it.
//! Polynomials over GF(2) of degree 53 are numbers: bit i is the coefficient of x^i.

use crate::{crypto::random, error::Result};

/// The degree restic's chunker works with.
const DEGREE: u32 = 53;

/// `a` times `b` modulo `modulus`; both factors have a lower degree than it.
fn multiply_modulo(mut a: u64, mut b: u64, modulus: u64) -> u64 {
    let top = 1_u64 << degree(modulus);
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        b >>= 1;
        a <<= 1;
        if a & top != 0 {
            a ^= modulus;
        }
    }
    product
}

/// Degree of a polynomial that is not zero.
fn degree(polynomial: u64) -> u32 {
    63 - polynomial.leading_zeros()
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        while a != 0 && degree(a) >= degree(b) {
            a ^= b << (degree(a) - degree(b));
        }
        (a, b) = (b, a);
    }
    a
}

/// Ben-Or's test: a polynomial p of degree n is irreducible exactly when it shares no factor with
/// x^(2^i) − x for any i up to n/2.
#[must_use]
pub fn is_irreducible(polynomial: u64) -> bool {
    if polynomial < 2 {
        return false;
    }
    if degree(polynomial) == 1 {
        return true;
    }
    let mut power = 2; // x^(2^i), reduced
    for _ in 0..degree(polynomial) / 2 {
        power = multiply_modulo(power, power, polynomial);
        if greatest_common_divisor(polynomial, power ^ 2) != 1 {
            return false;
        }
    }
    true
}

/// A random irreducible polynomial of degree 53. About one candidate in 27 is one.
///
/// # Errors
/// When the random generator fails.
pub fn random_irreducible() -> Result<u64> {
    loop {
        let mut bytes = [0; 8];
        random(&mut bytes)?;
        let candidate = u64::from_le_bytes(bytes) & ((1 << DEGREE) - 1) | 1 << DEGREE | 1;
        if is_irreducible(candidate) {
            return Ok(candidate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_polynomials_by_trial_division() {
        let divides = |d: u64, p: u64| greatest_common_divisor(p, d) == d;
        for p in 2..2048_u64 {
            let irreducible = (2..p).all(|d| degree(d) == 0 || degree(d) == degree(p) || !divides(d, p));
            assert_eq!(is_irreducible(p), irreducible, "{p:b}");
        }
    }

    #[test]
    fn a_polynomial_of_restic_is_irreducible() {
        // from the test data of restic's chunker
        assert!(is_irreducible(0x003D_A335_8B4D_C173));
        assert!(!is_irreducible(0x003D_A335_8B4D_C175));
    }

    #[test]
    fn random_ones_have_the_degree() {
        let p = random_irreducible().unwrap();
        assert!(degree(p) == DEGREE && is_irreducible(p));
    }
}
