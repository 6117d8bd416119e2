"""What other caches call what memo calls otherwise: the answer to an option that does not exist.

The decision: a peer's word is never taken silently, because the meanings differ in detail; the error names memo's.
"""

from __future__ import annotations

_ALWAYS = "none, because memo always does"

#: an option of joblib.Memory, diskcache, cachier, Streamlit, functools or percache, or one of memo's in the wrong place
_WORDS = {
    # how long
    **dict.fromkeys(("expire", "expires", "ttl_seconds", "max_age", "stale_after", "timeout", "expire_after"), "ttl"),
    "cache_validation_callback": "ttl or validate", "next_time": "stale_while_revalidate",
    "cleanup_stale": "none, because expired entries go with later stores", "cleanup_interval": "none, see memo prune",
    # where
    **dict.fromkeys(("cache_dir", "cachedir", "directory", "dir", "path", "folder"), "location"),
    **dict.fromkeys(("backend", "store"), "storage"), "separate_files": 'storage="files"',
    **dict.fromkeys(("mongetter", "sql_engine", "redis_client", "client", "url"), "location, which takes a URL"),
    "shards": "none, because one place serves any number of processes", "disk": "serializer",
    # in what form
    **dict.fromkeys(("format", "serializer_name"), "serializer"), "compression": "Cache(compress=)",
    "mmap_mode": "none, because large results are mapped",
    # what counts
    **dict.fromkeys(("ignore_args", "exclude", "ignore_self"), "ignore"), "hash_funcs": "key, or memo.hasher for a class",
    **dict.fromkeys(("hash_func", "hash_params", "key_func", "keyfunc", "cache_key", "key_maker"), "key"),
    "typed": "none, because memo always tells 1 from 1.0", "capture": "code", "tag": "tags",
    "allow_non_static_methods": 'ignore=["self"], where the object is not to count',
    # how much
    "size_limit": "Cache(max_size=)", "bytes_limit": "Cache(max_size=)", "entry_size_limit": "Cache(max_size=)",
    **dict.fromkeys(("items_limit", "maxsize"), "Cache(max_entries=)"), "eviction_policy": "Cache(evict=)",
    "cull_limit": "none, because a limit is held at every moment",
    # when
    **dict.fromkeys(("skip_cache", "when", "enabled"), 'mode="off"'), "overwrite_cache": 'mode="refresh"',
    "allow_none": _ALWAYS, "persist": _ALWAYS, "wait_for_calc_timeout": "wait",
    **dict.fromkeys(("pickle_reload", "tag_index", "func", "scope"), "none: leave it out"),
    # what is said
    **dict.fromkeys(("verbose", "show_spinner", "show_time"), "MEMO_LOG=info"), "statistics": "none, see cache_info() and memo stats",
}  # fmt: skip
#: what `Cache` takes
OF_CACHE = (
    "checksum", "compress", "detect_mutation", "durable", "evict", "front_ttl", "location", "max_entries", "max_size", "on_unkeyable", "policy",
    "serializer", "shared_group", "sign", "spot_check", "storage", "strict", "trust", "trust_folder",
)  # fmt: skip
#: what `persist` takes
OF_PERSIST = (
    "cache", "cache_exceptions", "code", "depends", "idle_ttl", "ignore", "key", "location", "mode", "name", "packages", "policy",
    "serializer", "storage", "store_if", "store_if_slower_than", "stale_if_error", "stale_while_revalidate", "tags", "ttl", "validate", "version", "wait",
)  # fmt: skip


def unknown_option(of: str, name: str) -> str:
    """The message for an option that "persist" or "Cache" does not take: memo's word for it, or the nearest spelling.

    >>> print(unknown_option("persist", "stale_after"))
    persist() has no option 'stale_after': memo's word for it is ttl
    """
    known = OF_PERSIST if of == "persist" else OF_CACHE
    word = _WORDS.get(name)
    if word is not None:
        return f"{of}() has no option {name!r}: memo's word for it is {word}"
    if of == "persist" and name in OF_CACHE:
        return f"persist() has no option {name!r}: it concerns the whole store, cache=Cache(..., {name}=...)"
    if of == "Cache" and name in OF_PERSIST:
        return f"Cache() has no option {name!r}: it concerns one function, @cache.persist({name}=...)"
    from difflib import get_close_matches

    close = get_close_matches(name, known, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{of}() has no option {name!r}.{hint} It takes {', '.join(sorted(known))}"
