use super::*;
use tempfile::TempDir;

const KIB: u64 = 1024;

/// Some time in 2026.
const START: Duration = Duration::from_secs(1_796_000_000);

const HOUR: Duration = Duration::from_secs(3600);

/// A directory for at most 64 KiB, of at most 16 hours.
fn files() -> (TempDir, Files) {
    let directory = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        bytes_max: 64 * KIB,
        age_max: 16 * HOUR,
    };
    let files = Files::new(directory.path().join("records"), bounds);
    (directory, files)
}

/// A line of a kibibyte that begins with a number.
fn line(number: u32) -> Vec<u8> {
    format!("{number:<1023}\n").into_bytes()
}

/// Returns the numbers in each file, the oldest first.
fn numbers(files: &Files) -> Vec<Vec<u32>> {
    let read = |file: Found| {
        let text = fs::read_to_string(file.path).unwrap();
        text.lines()
            .map(|line| line.trim().parse().unwrap())
            .collect()
    };
    found(&files.directory)
        .unwrap()
        .into_iter()
        .map(read)
        .collect()
}

#[test]
fn files_are_begun_and_removed_by_size() {
    let (_directory, mut files) = files();
    for number in 0..4 {
        files.write(&line(number), START).unwrap();
    }
    assert_eq!(numbers(&files), [[0, 1, 2, 3]], "exactly full");
    files.write(&line(4), START).unwrap();
    assert_eq!(numbers(&files), [vec![0, 1, 2, 3], vec![4]]);
    for number in 5..200 {
        files.write(&line(number), START).unwrap();
        let all = found(&files.directory).unwrap();
        let total: u64 = all.iter().map(|file| file.len).sum();
        assert!(total <= 64 * KIB, "{total}");
    }
    let kept = numbers(&files).concat();
    assert_eq!(
        kept,
        (136..200).collect::<Vec<_>>(),
        "the newest, without a gap"
    );
}

#[test]
fn files_are_begun_and_removed_by_age() {
    let (_directory, mut files) = files();
    files.write(&line(0), START).unwrap();
    let almost = START + HOUR - Duration::from_millis(1);
    files.write(&line(1), almost).unwrap();
    files.write(&line(2), START + HOUR).unwrap();
    assert_eq!(numbers(&files), [vec![0, 1], vec![2]]);
    files
        .tidy(START + 16 * HOUR - Duration::from_millis(1))
        .unwrap();
    assert_eq!(numbers(&files).len(), 2);
    files.tidy(START + 16 * HOUR).unwrap();
    assert_eq!(numbers(&files), [[2]]);
    files.tidy(START + 17 * HOUR).unwrap();
    assert!(numbers(&files).is_empty(), "although nothing is written");
    files.write(&line(3), START + 17 * HOUR).unwrap();
    assert_eq!(numbers(&files), [[3]]);
}

#[test]
fn a_process_goes_on_with_the_last_file_unless_another_has_it() {
    let (directory, mut first) = files();
    first.write(&line(0), START).unwrap();
    let mut beside = Files::new(first.directory.clone(), first.bounds.clone());
    beside.write(&line(1), START).unwrap();
    first.write(&line(2), START).unwrap();
    assert_eq!(numbers(&first), [vec![0, 2], vec![1]]);
    drop((first, beside));
    let (_, mut after) = files();
    after.directory = directory.path().join("records");
    let torn = found(&after.directory).unwrap().pop().unwrap();
    options().open(&torn.path).unwrap().write_all(b"9").unwrap();
    after
        .write(&line(3), START + Duration::from_secs(60))
        .unwrap();
    assert_eq!(numbers(&after), [vec![0, 2], vec![1, 9, 3]]);
}

#[test]
#[cfg(unix)]
fn only_their_owner_reads_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_directory, mut files) = files();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    files.write(&line(0), START).unwrap();
    let path = found(&files.directory).unwrap().pop().unwrap().path;
    assert_eq!((mode(&files.directory), mode(&path)), (0o700, 0o600));
    files.current = None;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    files.write(&line(1), START).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(numbers(&files), [[0, 1]]);
}

#[test]
#[cfg(unix)]
fn the_group_that_has_the_directory_and_may_read_there_reads_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_directory, mut files) = files();
    let directory = files.directory.clone();
    create_private(&directory).unwrap();
    for (entry, readers) in [
        (0o2750, 0o640),
        // Whoever goes on with a file does so as the directory has it by then.
        (0o750, 0o600),
        (0o2770, 0o640),
        (0o2710, 0o600),
        (0o755, 0o600),
    ] {
        fs::set_permissions(&directory, fs::Permissions::from_mode(entry)).unwrap();
        files.current = None;
        files.write(&line(0), START).unwrap();
        let file = found(&directory).unwrap().pop().unwrap().path;
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, readers, "{entry:o}");
    }
    // What is made anew, too.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o2750)).unwrap();
    files.write(&line(1), START + 2 * HOUR).unwrap();
    let newest = found(&directory).unwrap().pop().unwrap();
    let mode = fs::metadata(newest.path).unwrap().permissions().mode();
    assert_eq!((newest.began, mode & 0o777), (START + 2 * HOUR, 0o640));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error_until_it_has_room() {
    let (_directory, mut files) = files();
    create_private(&files.directory).unwrap();
    let full = files
        .directory
        .join(format!("{PREFIX}{}{SUFFIX}", millis(START)));
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    for _ in 0..2 {
        let error = files.write(&line(0), START).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
    fs::remove_file(full).unwrap();
    files.write(&line(1), START).unwrap();
    assert_eq!(numbers(&files), [[1]]);
}
