# Pilothouse edge configuration for Varnish 7 with varnish-modules (xkey, var).
#
#   varnishd -a @listen@ -f /etc/varnish/pilothouse.vcl -s malloc,1G \
#     -p vsl_mask=+Debug -p workspace_thread=8k -p http1_iovs=400 -p fetch_chunksize=512k
#
# The access log @log@ is written by what `pilothouse edge-config --kind varnish --log-writer` prints, because varnishncsa
# says of a download that was broken off that all of it was sent. The parameters are for that.
#
# The edge serves from its cache only while it has a serving lease from the control plane; without one every request goes
# to the origin and the response is not cached. Control requests carry a verb in the header X-Pilothouse:
#
#   hello          begin a session: X-Pilothouse-Session, and X-Pilothouse-Epoch for what was cached under it
#   lease, renew   grant or renew the lease of this session, for the time in X-Pilothouse-Lease
#   purge          purge this URL
#   host           purge everything of this host
#   ban            purge this host's URLs that match the regular expression in X-Pilothouse-Match
#   tag            purge every object of this host with one of the tags in X-Pilothouse-Tags
#   refresh        fetch this URL anew, whatever is cached
#   preload        fetch this URL if it is not cached
#   probe          report whether this URL is cached, without fetching it
#
# Only what every visitor may see is cached. Requests with Authorization, Cookie or a body and methods other than GET and
# HEAD are passed to the origin, and so are URLs without a normal form; responses that set a cookie, vary by everything or are
# private are not stored. A write that succeeds purges its URL, by a surrogate key that every object has. Tags are those that
# the origin names in the headers xkey and Cache-Tag; with the host in front they are surrogate keys too, so that a host's tag
# is no other host's.
#
# Global variables: `session` and `epoch` of the last hello; `from` and `until`, the lease in Unix seconds; `instance`, the
# session of the first lease, part of every cache key; `purged:HOST`, the request id of the last purge or write, which a fetch
# compares at its begin and end; `generation:HOST`, the host's part of the cache key, raised by a purge of the host.
vcl 4.1;

import purge;
import std;
import var;
import xkey;

@backends@

acl pilothouse_trusted_address {
@allow@
}

sub vcl_init {
    # Purges of a query that is ignored do not reach the objects of the time before, so these are given up when a reload changes
    # the domains for which it is.
    if (!var.global_get("rules") || var.global_get("ignoring") != "@ignoring@") {
        var.global_set("ignoring", "@ignoring@");
        var.global_set("rules", "" + std.time2real(now, 0.0));
    }
}

sub vcl_recv {
    if (req.restarts > 0) {
        # Only purges are restarted: see vcl_hit. A restart is a log transaction of its own, with a mark of its own.
        call pilothouse_mark;
        return (hash);
    }
    unset req.http.X-Pilothouse-Passed;
    set req.http.Host = std.tolower(regsub(regsub(req.http.Host, ":[0-9]*$", ""), "\.$", ""));
    call pilothouse_normalise;
    unset req.http.X-Pilothouse-Site;
    unset req.http.X-Pilothouse-Origin-Host;
    unset req.http.X-Pilothouse-Query;
    unset req.http.X-Pilothouse-Cookies;
    unset req.http.X-Pilothouse-Ttl;
    call pilothouse_site;
    call pilothouse_apply_rules;
    if (req.http.X-Pilothouse) {
        call pilothouse_control;
    }
    # As in nginx. Built-in rules would pipe CONNECT.
    if (req.method ~ "^(PURGE|CONNECT|TRACE|PRI)$") {
        return (synth(405));
    }
    if (req.http.Host == "") {
        return (synth(400));
    }
    if (!req.http.X-Pilothouse-Site) {
        return (synth(404));
    }
    # Passed here, because the built-in rules pipe methods that they do not know, which are then logged without a status.
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    if (req.http.Authorization || req.http.Cookie || req.http.Transfer-Encoding
        || (req.http.Content-Length && req.http.Content-Length != "0")) {
        return (pass);
    }
    if (!req.http.X-Pilothouse-Uri) {
        return (pass);
    }
    # Without a valid lease, pass. A lease that begins in the future means that the clock was set back.
    if (std.real(var.global_get("from"), 0.0) > std.time2real(now, 0.0)
        || std.real(var.global_get("until"), 0.0) <= std.time2real(now, 0.0)) {
        return (pass);
    }
    if (req.http.X-Pilothouse-Query == "ignore") {
        set req.url = regsub(req.url, "\?.*$", "");
    }
}

# Sets the origin and the cache rules of the most specific domain: the Host header that the origin gets, whether queries and
# cookies are ignored, and the lifetime.
sub pilothouse_site {
@sites@
}

sub pilothouse_apply_rules {
    # Queries are not part of the URL for the cache key, and a prefix that ends within a query is all of its path.
    if (req.http.X-Pilothouse-Query == "ignore") {
        if (req.http.X-Pilothouse-Uri) {
            set req.http.X-Pilothouse-Uri = regsub(req.http.X-Pilothouse-Uri, "\?.*$", "");
        }
        if (req.http.X-Pilothouse-Match) {
            set req.http.X-Pilothouse-Match = regsub(req.http.X-Pilothouse-Match, "\[[?]\].*$", "$");
        }
    }
    # Cookies that do not reach the origin cannot change its answer.
    if (req.http.X-Pilothouse-Cookies == "ignore" && (req.method == "GET" || req.method == "HEAD")) {
        unset req.http.Cookie;
    }
}

# Normal form of the URL for the cache key, in X-Pilothouse-Uri; the origin gets what the client has sent. Escapes are in upper
# case, unreserved characters are not escaped, and others that a URL must not have are. Without the header there is no normal
# form: other bytes, incomplete escapes, or dot segments, which not every origin removes, so that its answer to one URL would
# be stored under another. Long URLs are only accepted in their normal form, because every replacement needs a copy in the
# workspace.
sub pilothouse_normalise {
    unset req.http.X-Pilothouse-Uri;
    if (req.http.Host ~ "^[a-z0-9_-]+(\.[a-z0-9_-]+)*$" && req.url ~ "^/[\x21-\x7e]*$" && req.url !~ "#"
        && req.url !~ "%(?![0-9A-Fa-f]{2})") {
        set req.http.X-Pilothouse-Uri = req.url;
    }
    if (req.http.X-Pilothouse-Uri ~ "@unusual@") {
        if (req.http.X-Pilothouse-Uri ~ "^.{2049}") {
            unset req.http.X-Pilothouse-Uri;
        } else {
            set req.http.X-Pilothouse-Uri =
@replaced@;
        }
    }
    if (req.http.X-Pilothouse-Uri ~ "^[^?]*/\.\.?(/|\?|$)") {
        unset req.http.X-Pilothouse-Uri;
    }
}

# Marks control requests, which the log writer leaves out because the access log is the basis of billing.
sub pilothouse_mark {
    std.log("pilothouse:" + req.http.X-Pilothouse);
}

sub pilothouse_control {
    if (client.ip !~ pilothouse_trusted_address@key@) {
        return (synth(403));
    }
    unset req.http.X-Pilothouse-Key;
    call pilothouse_mark;
    if (req.http.X-Pilothouse == "hello") {
        # Of two servers that both consider themselves this edge's lease manager, the one with the higher session wins.
        if (std.integer(req.http.X-Pilothouse-Session, 0) <= std.integer(var.global_get("session"), 0)) {
            return (synth(409));
        }
        var.global_set("session", req.http.X-Pilothouse-Session);
        if (var.global_get("epoch") != req.http.X-Pilothouse-Epoch) {
            # A new epoch: another control plane, or one whose settings had dropped this edge for a time. The cache may have
            # missed purges; resetting the instance gives it a new one, so that nothing cached before is found again.
            var.global_set("until", "0");
            var.global_set("instance", "none");
            var.global_set("epoch", req.http.X-Pilothouse-Epoch);
        }
        return (synth(200));
    }
    if (req.http.X-Pilothouse == "lease" || req.http.X-Pilothouse == "renew") {
        if (req.http.X-Pilothouse-Session != var.global_get("session")) {
            return (synth(409));
        }
        # An expired lease is not renewed, because the edge may have missed purges since.
        if (req.http.X-Pilothouse == "renew"
            && (std.real(var.global_get("from"), 0.0) > std.time2real(now, 0.0)
                || std.real(var.global_get("until"), 0.0) <= std.time2real(now, 0.0))) {
            return (synth(409));
        }
        if (req.http.X-Pilothouse == "lease"
            && (!var.global_get("instance") || var.global_get("instance") == "none")) {
            var.global_set("instance", req.http.X-Pilothouse-Session);
        }
        # The lease begins one second early: otherwise requests that started just before this one, or within the half
        # millisecond by which the number may be rounded up, would see a lease in the future and assume a clock set back.
        var.global_set("from", "" + std.time2real(now - 1s, 0.0));
        var.global_set("until", "" + std.time2real(now + std.duration(req.http.X-Pilothouse-Lease, 0s), 0.0));
        return (synth(200));
    }
    if (req.http.X-Pilothouse == "purge") {
        # Without a normal form it was never cached.
        if (!req.http.X-Pilothouse-Uri) {
            return (synth(200));
        }
        var.global_set("purged:" + req.http.Host, req.xid);
        return (hash);
    }
    if (req.http.X-Pilothouse == "host") {
        var.global_set("purged:" + req.http.Host, req.xid);
        var.global_set("generation:" + req.http.Host, req.xid + "-" + std.time2real(now, 0.0));
        return (synth(200));
    }
    if (req.http.X-Pilothouse == "ban") {
        var.global_set("purged:" + req.http.Host, req.xid);
        if (!std.ban("obj.http.X-Pilothouse-Host == " + req.http.Host + " && obj.http.X-Pilothouse-Url ~ "
            + req.http.X-Pilothouse-Match)) {
            return (synth(400));
        }
        return (synth(200));
    }
    if (req.http.X-Pilothouse == "tag") {
        var.global_set("purged:" + req.http.Host, req.xid);
        set req.http.X-Pilothouse-Purged = xkey.purge(
            regsuball(req.http.X-Pilothouse-Tags, "[^ ,]+", "tag:" + req.http.Host + "/\0"));
        return (synth(200));
    }
    if (req.http.X-Pilothouse == "refresh") {
        set req.hash_always_miss = true;
    } else if (req.http.X-Pilothouse != "preload" && req.http.X-Pilothouse != "probe") {
        return (synth(400));
    }
}

sub vcl_hash {
    hash_data(var.global_get("instance"));
    hash_data(var.global_get("rules"));
    hash_data(var.global_get("generation:" + req.http.Host));
    hash_data(req.http.Host);
    hash_data(req.http.X-Pilothouse-Uri);
    return (lookup);
}

# A purge is a cache lookup like any request. So it waits for a fetch of the same URL in progress, and removes the object
# that this fetch inserts; otherwise an old object could be inserted after its purge and stay.
sub vcl_hit {
    if (req.http.X-Pilothouse == "purge") {
        purge.hard();
        return (restart);
    }
}

sub vcl_miss {
    if (req.http.X-Pilothouse == "purge") {
        purge.hard();
        return (synth(200));
    }
    if (req.http.X-Pilothouse == "probe") {
        return (synth(504));
    }
}

sub vcl_pass {
    set req.http.X-Pilothouse-Passed = "1";
    if (req.http.X-Pilothouse == "purge") {
        return (synth(503));
    }
    if (req.http.X-Pilothouse == "probe") {
        return (synth(504));
    }
}

sub vcl_backend_fetch {
    unset bereq.http.X-Pilothouse;
    unset bereq.http.X-Pilothouse-Passed;
    var.set("uri", bereq.http.X-Pilothouse-Uri);
    unset bereq.http.X-Pilothouse-Uri;
    var.set("host", bereq.http.Host);
    if (bereq.http.X-Pilothouse-Origin-Host) {
        set bereq.http.Host = bereq.http.X-Pilothouse-Origin-Host;
    }
    var.set("ttl", "" + bereq.http.X-Pilothouse-Ttl);
    unset bereq.http.X-Pilothouse-Site;
    unset bereq.http.X-Pilothouse-Origin-Host;
    unset bereq.http.X-Pilothouse-Query;
    unset bereq.http.X-Pilothouse-Cookies;
    unset bereq.http.X-Pilothouse-Ttl;
    # What visitors say of their way here would be cached for all, where the origin answers by it.
    set bereq.http.X-Forwarded-Proto = "@proto@";
    unset bereq.http.X-Forwarded-Host;
    unset bereq.http.Forwarded;
    var.set("purged", "-" + var.global_get("purged:" + var.get("host")));
}

# Surrogate key of a URL. Commas and blanks would end it.
sub pilothouse_written {
    var.global_set("purged:" + req.http.Host, req.xid);
    set req.http.X-Pilothouse-Purged = xkey.purge("url:" + req.http.Host + regsuball(req.http.X-Pilothouse-Uri, ",", "%2C"));
    unset req.http.X-Pilothouse-Purged;
}

sub vcl_backend_response {
    set beresp.http.X-Pilothouse-Host = var.get("host");
    set beresp.http.X-Pilothouse-Url = var.get("uri");
    std.collect(beresp.http.xkey, " ");
    std.collect(beresp.http.Cache-Tag, ",");
    unset beresp.http.X-HashTwo;
    set beresp.http.xkey = regsuball(beresp.http.xkey + " " + beresp.http.Cache-Tag, "[^ ,]+",
        "tag:" + var.get("host") + "/\0") + " url:" + var.get("host") + regsuball(var.get("uri"), ",", "%2C");
    # Something of this host was purged since this fetch began. It may have been this object, through a prefix, or through a
    # variant for which the purge did not wait. So the response is delivered to the waiting clients but not cached.
    if (var.get("purged") != "-" + var.global_get("purged:" + var.get("host"))) {
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        set beresp.keep = 0s;
        set beresp.uncacheable = true;
        set beresp.http.X-Pilothouse-Passed = "1";
        return (deliver);
    }
    std.collect(beresp.http.Cache-Control);
    std.collect(beresp.http.Surrogate-Control);
    std.collect(beresp.http.Vary);
    # Stricter than the built-in rules, which follow after this one: what is private stays so beside a Surrogate-Control, and an
    # Expires that is no time has passed.
    if (beresp.http.Cache-Control ~ "(?i)(private|no-cache|no-store)" || beresp.http.Surrogate-Control ~ "(?i)no-store"
        || beresp.http.Vary ~ "[*]" || beresp.http.Set-Cookie
        || (beresp.http.Expires && beresp.http.Cache-Control !~ "(?i)(max-age|s-maxage)"
            && std.time(beresp.http.Expires, now - 1s) <= now)) {
        set beresp.ttl = 120s;
        set beresp.uncacheable = true;
        return (deliver);
    }
    if (var.get("ttl") != "") {
        call pilothouse_lifetime;
    }
}

# Replaces the lifetime that the origin gave. The Age of the object would be understood as one of the origin's lifetime.
sub pilothouse_lifetime {
    if (beresp.status == 404 || beresp.status == 410) {
        set beresp.ttl = std.duration(var.get("ttl") + "s", 0s);
        if (beresp.ttl > 60s) {
            set beresp.ttl = 60s;
        }
    } else if (beresp.status == 200 || beresp.status == 203 || beresp.status == 204 || beresp.status == 300
        || beresp.status == 301 || beresp.status == 308) {
        set beresp.ttl = std.duration(var.get("ttl") + "s", 0s);
    } else {
        set beresp.ttl = 0s;
    }
    set beresp.http.X-Pilothouse-Ttl = "1";
}

sub vcl_deliver {
    if (req.http.X-Pilothouse-Uri && req.method !~ "^(GET|HEAD|OPTIONS)$" && resp.status >= 200 && resp.status < 400) {
        call pilothouse_written;
    }
    unset resp.http.X-Pilothouse-Host;
    unset resp.http.X-Pilothouse-Url;
    unset resp.http.xkey;
    if (resp.http.X-Pilothouse-Ttl) {
        unset resp.http.X-Pilothouse-Ttl;
        unset resp.http.Age;
    }
    if (req.http.X-Pilothouse-Passed || resp.http.X-Pilothouse-Passed) {
        unset resp.http.X-Pilothouse-Passed;
        set resp.http.X-Cache = "PASS";
    } else if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
}

sub vcl_synth {
    if (req.http.X-Pilothouse) {
        if (resp.status == 409) {
            set resp.http.X-Pilothouse-Session = var.global_get("session");
        }
        set resp.http.X-Pilothouse = "1";
        set resp.http.X-Pilothouse-Purged = req.http.X-Pilothouse-Purged;
        set resp.body = "";
        return (deliver);
    }
}
