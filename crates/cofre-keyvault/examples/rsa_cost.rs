//! What reading a private key costs beside using it: `cargo run --release -p cofre-keyvault --example rsa_cost`.

use std::{error::Error, process::Command, time::Instant};

use base64ct::{Base64, Encoding as _};
use cofre_keyvault::{PrivateKey, SecretBytes, SignatureAlgorithm, WrapAlgorithm};

const ROUNDS: u32 = 200;

fn measure<T>(what: &str, mut work: impl FnMut() -> Result<T, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    work()?; // what is made at first use does not count
    let start = Instant::now();
    for _ in 0..ROUNDS {
        work()?;
    }
    println!("{what:<28} {:>9.1} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    for bits in [2048, 3072, 4096] {
        // made by openssl, so that nothing has to hand out a private key for this
        let option = format!("rsa_keygen_bits:{bits}");
        let made = Command::new("openssl")
            .args(["genpkey", "-quiet", "-algorithm", "RSA", "-outform", "PEM", "-pkeyopt", &option])
            .output()?;
        let pem = String::from_utf8(made.stdout)?;
        let digits: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let pkcs8 = SecretBytes::new(Base64::decode_vec(&digits)?.into());
        let key = PrivateKey::from_pkcs8(&pkcs8)?;
        let wrapped = key.wrap(WrapAlgorithm::RsaOaep, b"a key of a disk")?;
        let (algorithm, digest) = (SignatureAlgorithm::Ps256, [7; 32]);
        let signature = key.sign(algorithm, &digest)?;
        println!("{bits} bits, mean of {ROUNDS}:");
        measure("read PKCS#8", || Ok(PrivateKey::from_pkcs8(&pkcs8)?))?;
        measure("wrap (RSA-OAEP)", || Ok(key.wrap(WrapAlgorithm::RsaOaep, b"a key of a disk")?))?;
        measure("unwrap (RSA-OAEP)", || Ok(key.unwrap(WrapAlgorithm::RsaOaep, &wrapped)?))?;
        measure("sign (PS256)", || Ok(key.sign(algorithm, &digest)?))?;
        measure("verify (PS256)", || Ok(key.verify(algorithm, &digest, &signature)?))?;
    }
    Ok(())
}
