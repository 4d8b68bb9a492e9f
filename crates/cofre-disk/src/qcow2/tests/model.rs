//! Images made by hand against the bytes they stand for.

use proptest::prelude::*;

use super::{
    build::{Cluster, Image},
    *,
};

fn cluster(cluster_bits: u32) -> impl Strategy<Value = Cluster> {
    let bytes = move || {
        (any::<u64>(), any::<bool>()).prop_map(move |(seed, noisy)| {
            let step = if noisy { 0x9e37_79b9_7f4a_7c15 } else { 0x0100_0000_0000_0000 };
            let byte = |n: u64| seed.wrapping_add(n.wrapping_mul(step)).to_be_bytes()[0] | 1;
            (0..1 << cluster_bits).map(byte).collect::<Vec<u8>>()
        })
    };
    prop_oneof![
        3 => Just(Cluster::Backing),
        1 => Just(Cluster::Zero),
        1 => Just(Cluster::ZeroWithPlace),
        3 => bytes().prop_map(Cluster::Data),
        2 => bytes().prop_map(Cluster::Compressed),
    ]
}

fn image(backing: Option<&'static str>) -> impl Strategy<Value = Image> {
    (9_u32..12, 2_u32..4, any::<bool>(), 0_u64..600).prop_flat_map(
        move |(cluster_bits, version, zstd, sectors)| {
            // Sizes that are no multiples of anything.
            let size = sectors * 401;
            let clusters = usize::try_from(size.div_ceil(1 << cluster_bits)).unwrap();
            prop::collection::vec(cluster(cluster_bits), clusters).prop_map(move |mut clusters| {
                if version == 2 {
                    // It has no zero clusters.
                    for cluster in &mut clusters {
                        if matches!(cluster, Cluster::Zero | Cluster::ZeroWithPlace) {
                            *cluster = Cluster::Backing;
                        }
                    }
                }
                let backing = backing.map(|format| ("base", Some(format)));
                Image { version, cluster_bits, size, zstd: zstd && version == 3, backing, clusters }
            })
        },
    )
}

/// The bytes of a disk that is `image` over `below`.
fn model(image: &Image, below: &[u8]) -> Vec<u8> {
    let cluster_size = 1 << image.cluster_bits;
    let size = usize::try_from(image.size).unwrap();
    let mut disk = below.to_vec();
    disk.resize(size.next_multiple_of(cluster_size).max(disk.len()), 0);
    for (content, part) in image.clusters.iter().zip(disk.chunks_mut(cluster_size)) {
        match content {
            Cluster::Backing => {}
            Cluster::Zero | Cluster::ZeroWithPlace => part.fill(0),
            Cluster::Data(bytes) | Cluster::Compressed(bytes) => part.copy_from_slice(bytes),
        }
    }
    disk.truncate(size);
    disk
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_chain_reads_as_its_model(
        top in image(Some("qcow2")),
        middle in image(Some("raw")),
        base in prop::collection::vec(any::<u8>(), 0..200_000),
        piece in 1_usize..5000,
        request in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let expected = model(&top, &model(&middle, &base));
        let source = open_over(top.bytes(), vec![middle.bytes(), base]).unwrap();
        prop_assert_eq!(source.size(), expected.len() as u64);
        prop_assert!(bytes(&source, piece) == expected);
        check_holes(&source, &expected);
        let (from, to) = (request.0.index(expected.len() + 1), request.1.index(expected.len() + 1));
        let range = from.min(to)..from.max(to);
        let mut part = vec![1; range.len()];
        source.read_exact_at(&mut part, range.start as u64).unwrap();
        prop_assert!(part == expected[range]);
        source.verify_unchanged().unwrap();
    }

    #[test]
    fn an_image_alone_reads_as_its_model(image in image(None), piece in 1_usize..5000) {
        let expected = model(&image, &[]);
        let source = open_alone(image.bytes()).unwrap();
        prop_assert!(bytes(&source, piece) == expected);
        check_holes(&source, &expected);
    }
}

#[test]
fn runs_of_one_kind_become_one_extent() {
    let data = || Cluster::Data(vec![1; 512]);
    let mut clusters = vec![Cluster::Backing; 500];
    clusters[200] = data();
    clusters[201] = data();
    clusters[202] = Cluster::Compressed(vec![2; 512]);
    clusters[203] = Cluster::Zero;
    let image = Image { clusters, ..Image::new(9, 500 * 512) };
    let extents = extents(&open_alone(image.bytes()).unwrap());
    let seen: Vec<_> = extents.iter().map(|e| (e.start / 512, e.end() / 512, e.kind)).collect();
    let expected = [(0, 200, ExtentKind::Hole), (200, 203, ExtentKind::Data), (203, 500, ExtentKind::Hole)];
    assert_eq!(seen, expected);
}

#[test]
fn threads_may_read_at_once() {
    let clusters: Vec<_> = (0..300_u32)
        .map(|n| vec![u8::try_from(n % 255).unwrap() + 1; 512])
        .map(|bytes| if bytes[0] % 2 == 0 { Cluster::Data(bytes) } else { Cluster::Compressed(bytes) })
        .collect();
    let image = Image { clusters, ..Image::new(9, 300 * 512) };
    let expected = model(&image, &[]);
    let source = open_alone(image.bytes()).unwrap();
    std::thread::scope(|scope| {
        for piece in [100, 512, 700, 5000] {
            let (source, expected) = (&source, &expected);
            scope.spawn(move || assert!(bytes(source, piece) == *expected));
        }
    });
}

#[test]
fn an_empty_disk_is_a_disk() {
    let source = open_alone(Image::new(16, 0).bytes()).unwrap();
    assert_eq!(source.size(), 0);
    source.read_exact_at(&mut [], 0).unwrap();
    assert_eq!(source.extent_at(0).unwrap_err().kind(), ErrorKind::Invalid);
}
