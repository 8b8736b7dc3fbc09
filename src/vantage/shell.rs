//! POSIX shell that the scripts of several transports share. It has no single quote, backslash or exclamation mark.

/// Puts the SHA-256 digest of the file `$f` into `s`, or `none` where nothing computes it.
pub(super) const DIGEST: &str = r#"if command -v sha256sum >/dev/null 2>&1; then s=$(sha256sum < "$f");
elif command -v shasum >/dev/null 2>&1; then s=$(shasum -a 256 < "$f");
elif command -v openssl >/dev/null 2>&1; then s=$(openssl dgst -sha256 -r < "$f");
else s=none; fi;
s=${s%% *};"#;
