# An edge of Pilothouse: Varnish 7 with varnish-modules (xkey, var).
#
#   varnishd -a @listen@ -f /etc/varnish/pilothouse.vcl -s malloc,1G
#   varnishncsa -D -a -w @log@ -q 'not VCL_Log:pilothouse' \
#     -F '%{%s}t.%{msec_frac}t\t%{Host}i\t%s\t%O\t%h\t%{Varnish:hitmiss}x\t%{Varnish:time_firstbyte}x\t%m\t%U%q'
#
# The edge answers from its cache only while its lease from the control plane is fresh; without one every request goes
# to the origin and nothing is kept. What the control plane asks carries the header X-Pilothouse:
#
#   hello, lease, renew   the lease
#   purge                 this URL           host   everything of this host
#   ban                   this host's URLs that match X-Pilothouse-Match
#   tag                   every object whose origin answered one of the xkeys in X-Pilothouse-Tags
#   refresh               fetch this URL anew, whatever the cache holds
#   preload, probe        fetch this URL if it is not cached; only say whether it is
vcl 4.1;

import purge;
import std;
import var;
import xkey;

backend origin {
    .host = "@origin_host@";
    .port = "@origin_port@";
    .first_byte_timeout = 30s;
}

acl pilothouse_near {
@allow@
}

sub vcl_recv {
    if (req.restarts > 0) {
        # Only purges are started again: see vcl_hit.
        return (hash);
    }
    unset req.http.X-Pilothouse-Passed;
    set req.http.Host = std.tolower(regsub(req.http.Host, ":[0-9]*$", ""));
    if (req.http.X-Pilothouse) {
        call pilothouse_control;
    }
    if (req.method == "PURGE") {
        return (synth(405));
    }
    # Where the clock was set back, the lease has not begun.
    if (std.real(var.global_get("from"), 0.0) > std.time2real(now, 0.0)
        || std.real(var.global_get("until"), 0.0) <= std.time2real(now, 0.0)) {
        return (pass);
    }
}

sub pilothouse_control {
    if (client.ip !~ pilothouse_near@key@) {
        return (synth(403));
    }
    unset req.http.X-Pilothouse-Key;
    # Lines with this mark are left out of the log: nobody is billed for them.
    std.log("pilothouse:" + req.http.X-Pilothouse);
    if (req.http.X-Pilothouse == "hello") {
        # Of two servers that think they look after this edge, the later one does.
        if (std.integer(req.http.X-Pilothouse-Session, 0) <= std.integer(var.global_get("session"), 0)) {
            return (synth(409));
        }
        var.global_set("session", req.http.X-Pilothouse-Session);
        if (var.global_get("epoch") != req.http.X-Pilothouse-Epoch) {
            # Another control plane, or one that had given this edge up: nothing that is cached can be trusted.
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
        # A lease that has ended is not renewed: there may be purges that this edge has missed.
        if (req.http.X-Pilothouse == "renew"
            && (std.real(var.global_get("from"), 0.0) > std.time2real(now, 0.0)
                || std.real(var.global_get("until"), 0.0) <= std.time2real(now, 0.0))) {
            return (synth(409));
        }
        if (req.http.X-Pilothouse == "lease"
            && (!var.global_get("instance") || var.global_get("instance") == "none")) {
            var.global_set("instance", req.http.X-Pilothouse-Session);
        }
        # Requests that began a moment before this one must not take it for a clock that was set back, nor those that
        # follow within the half millisecond by which a number may be rounded up.
        var.global_set("from", "" + std.time2real(now - 1s, 0.0));
        var.global_set("until", "" + std.time2real(now + std.duration(req.http.X-Pilothouse-Lease, 0s), 0.0));
        return (synth(200));
    }
    if (req.http.X-Pilothouse == "purge") {
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
        var.global_set("tagged", req.xid);
        set req.http.X-Pilothouse-Purged = xkey.purge(req.http.X-Pilothouse-Tags);
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
    hash_data(var.global_get("generation:" + req.http.Host));
}

# A purge is looked up like any request. So it waits where the URL is being fetched at this moment, and finds and removes
# what that fetch brings: without this, an old object could arrive after its purge and stay.
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
    var.set("purged", "-" + var.global_get("purged:" + bereq.http.Host) + "-" + var.global_get("tagged"));
}

sub vcl_backend_response {
    set beresp.http.X-Pilothouse-Host = bereq.http.Host;
    set beresp.http.X-Pilothouse-Url = bereq.url;
    # Something of this host was purged since the fetch began. It may have been this, in a variant that the purge did not
    # wait for, or by prefix: it is delivered to who asked before, and not kept.
    if (var.get("purged") != "-" + var.global_get("purged:" + bereq.http.Host) + "-" + var.global_get("tagged")) {
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        set beresp.keep = 0s;
        set beresp.uncacheable = true;
        set beresp.http.X-Pilothouse-Passed = "1";
        return (deliver);
    }
}

sub vcl_deliver {
    unset resp.http.X-Pilothouse-Host;
    unset resp.http.X-Pilothouse-Url;
    unset resp.http.xkey;
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
