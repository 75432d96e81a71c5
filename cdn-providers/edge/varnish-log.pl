#!/usr/bin/perl
# Writes a Varnish edge's access log, in the place of varnishncsa: a line for each request of a visitor, in the format `tsv`.
# Arguments are passed to varnishlog, such as `-n NAME`.
#
# Varnish (6.6 to 8.0) counts what it was about to send, so varnishncsa's %O of a download that its client breaks off is the whole
# object. But it also tells how much of the write that failed was left, in a Debug record that varnishncsa cannot print. varnishd
# writes these records with `-p vsl_mask=+Debug`. Writes that would have followed are counted, too, so the other parameters in
# the head of the edge's configuration make a single write of any object whose length the origin told, and of others up to 200 MB.
#
# The log is opened again when it was renamed, so rotation needs no signal.
use strict;
use warnings;

my $path = '@log@';
my @records = map { ('-i', $_) } qw(ReqStart ReqMethod ReqURL RespStatus ReqAcct End);
my @parts = map { ('-I', $_) } ('ReqHeader:^[Hh][Oo][Ss][Tt]:', 'VCL_call:^(HIT|PASS)', 'Timestamp:^(Start|Resp):', 'Debug:Write error');
my $reader = open(my $varnish, '-|', 'varnishlog', @ARGV, '-c', '-q', 'not VCL_Log:pilothouse', @records, @parts)
    or die "cannot start varnishlog: $!\n";
# Without its reader varnishlog would wait for ever.
$SIG{TERM} = $SIG{INT} = sub { kill 'TERM', $reader; exit 0 };

my ($log, $opened) = (undef, '');

# Device and inode of the file at the log's path.
sub identity {
    my @found = stat($path);
    return @found ? "$found[0] $found[1]" : '';
}

sub write_out {
    my ($lines) = @_;
    if (!$log || identity() ne $opened) {
        open($log, '+>>', $path) or die "cannot open $path: $!\n";
        $opened = identity();
        # A line that a full disk has cut is ended, so that it does not spoil the next one.
        my $end = "\n";
        sysread($log, $end, 1) if sysseek($log, -1, 2);
        $lines = "\n$lines" if $end ne "\n";
    }
    while (length $lines) {
        my $written = syswrite($log, $lines) or die "cannot write $path: $!\n";
        substr($lines, 0, $written, '');
    }
}

sub escaped {
    my ($text) = @_;
    $text =~ s/([\x00-\x1f\x7f"\\])/sprintf('\\x%02x', ord $1)/ge;
    return $text;
}

# The line of a request, or nothing if it was none that could be read.
sub line_of {
    my ($request) = @_;
    my ($method, $url, $account) = @$request{qw(ReqMethod ReqURL ReqAcct)};
    return '' unless defined $method && defined $url && defined $account && $request->{RespStatus};
    my $sent = (split ' ', $account)[5] - ($request->{left} || 0);
    my $time = ($request->{Start} || '') =~ /^(\d+\.\d{3})/ ? $1 : '-';
    my $took = (split ' ', $request->{Resp} || '')[1];
    my $host = defined $request->{host} ? escaped($request->{host}) : '-';
    my ($address) = split ' ', $request->{ReqStart} || '-';
    my $cached = ($request->{VCL_call} || '') eq 'HIT' ? 'hit' : 'miss';
    return join("\t", $time, $host, $request->{RespStatus}, $sent > 0 ? $sent : 0, $address, $cached,
        defined $took ? $took : '-', $method, escaped($url)) . "\n";
}

# Of records that come again when VCL changes the request, the first is what the visitor sent; status and verdict are the last.
my %last = map { $_ => 1 } qw(RespStatus VCL_call);
my ($request, $rest, $lines) = ({}, '', '');
while (sysread($varnish, $rest, 65536, length $rest)) {
    while ($rest =~ s/^([^\n]*)\n//) {
        my ($tag, $value) = $1 =~ /^-+\s+(\w+)\s*(.*)$/ or next;
        if ($tag eq 'End') {
            $lines .= line_of($request);
            $request = {};
        } elsif ($tag eq 'ReqHeader') {
            $request->{host} = $1 if !defined $request->{host} && $value =~ /^host:\s*(.*)$/i;
        } elsif ($tag eq 'Timestamp') {
            $request->{$1} = $2 if $value =~ /^(\w+): (.*)$/;
        } elsif ($tag eq 'Debug') {
            $request->{left} = $1 if $value =~ /len = (\d+)/;
        } elsif ($last{$tag} || !defined $request->{$tag}) {
            $request->{$tag} = $value;
        }
    }
    write_out($lines) if length $lines;
    $lines = '';
}
die "varnishlog has ended\n";
