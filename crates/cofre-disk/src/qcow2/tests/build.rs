//! Makes qcow2 images in memory, cluster by cluster as a test wants them.

/// What a cluster of an image is.
#[derive(Clone, Debug)]
pub(super) enum Cluster {
    Backing,
    Zero,
    /// A zero cluster that keeps a place in the file.
    ZeroWithPlace,
    Data(Vec<u8>),
    Compressed(Vec<u8>),
}

/// An image to be made.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    pub(super) size: u64,
    pub(super) zstd: bool,
    pub(super) backing: Option<(&'static str, Option<&'static str>)>,
    pub(super) clusters: Vec<Cluster>,
}

impl Image {
    /// An empty disk.
    pub(super) fn new(cluster_bits: u32, size: u64) -> Self {
        Self { version: 3, cluster_bits, size, zstd: false, backing: None, clusters: vec![] }
    }

    /// The bytes of the image file: header, L1 table, L2 tables, clusters, compressed clusters.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let cluster = 1_usize << self.cluster_bits;
        let per_table = cluster / 8;
        let disk_clusters = usize::try_from(self.size).unwrap().div_ceil(cluster);
        let l1_entries = disk_clusters.div_ceil(per_table);
        let mut file = vec![0; cluster];
        self.header(&mut file, l1_entries);
        file.resize(cluster + (l1_entries * 8).next_multiple_of(cluster), 0);

        let mut compressed = Vec::new();
        for (table, clusters) in self.clusters.chunks(per_table).enumerate() {
            if clusters.iter().all(|cluster| matches!(cluster, Cluster::Backing)) {
                continue;
            }
            let l2 = file.len();
            let entry = (l2 as u64 | 1 << 63).to_be_bytes();
            file[cluster + table * 8..][..8].copy_from_slice(&entry);
            file.resize(l2 + cluster, 0);
            for (index, content) in clusters.iter().enumerate() {
                let place = file.len() as u64;
                let entry = match content {
                    Cluster::Backing => 0,
                    Cluster::Zero => 1,
                    Cluster::ZeroWithPlace => {
                        file.resize(file.len() + cluster, 0xdd);
                        place | 1 | 1 << 63
                    }
                    Cluster::Data(bytes) => {
                        file.extend(bytes);
                        place | 1 << 63
                    }
                    Cluster::Compressed(bytes) => {
                        compressed.push((l2 + index * 8, bytes));
                        0
                    }
                };
                file[l2 + index * 8..][..8].copy_from_slice(&entry.to_be_bytes());
            }
        }
        for (entry_at, bytes) in compressed {
            let place = file.len();
            if self.zstd {
                file.extend(zstd::bulk::compress(bytes, 3).unwrap());
            } else {
                file.extend(miniz_oxide::deflate::compress_to_vec(bytes, 6));
            }
            let sectors = (file.len() - 1) / 512 - place / 512;
            let entry = 1 << 62 | (sectors as u64) << (62 - (self.cluster_bits - 8)) | place as u64;
            file[entry_at..][..8].copy_from_slice(&entry.to_be_bytes());
        }
        file
    }

    fn header(&self, file: &mut [u8], l1_entries: usize) {
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"QFI\xfb");
        put(4, &self.version.to_be_bytes());
        put(20, &self.cluster_bits.to_be_bytes());
        put(24, &self.size.to_be_bytes());
        put(36, &u32::try_from(l1_entries).unwrap().to_be_bytes());
        put(40, &(1_u64 << self.cluster_bits).to_be_bytes());
        let mut at = 72;
        if self.version == 3 {
            put(72, &(u64::from(self.zstd) << 3).to_be_bytes());
            put(96, &4_u32.to_be_bytes());
            put(100, &112_u32.to_be_bytes());
            put(104, &[u8::from(self.zstd)]);
            at = 112;
        }
        let Some((name, format)) = self.backing else { return };
        if let Some(format) = format {
            put(at, &0xe279_2aca_u32.to_be_bytes());
            put(at + 4, &u32::try_from(format.len()).unwrap().to_be_bytes());
            put(at + 8, format.as_bytes());
            at += 8 + format.len().next_multiple_of(8);
        }
        // The end of the extensions is eight zeros.
        at += 8;
        put(at, name.as_bytes());
        put(8, &(at as u64).to_be_bytes());
        put(16, &u32::try_from(name.len()).unwrap().to_be_bytes());
    }
}
