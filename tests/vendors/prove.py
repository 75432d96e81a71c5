"""Each fake against its vendor's official SDK: what a right key gets, what a wrong key, too much, too fast and a wrong
clock get. Needs the SDKs of requirements.txt, unlike the fakes. Talks to nothing but 127.0.0.1."""
import datetime
import json
import os
import sys
import time
import urllib.request

UTC = datetime.timezone.utc
DONE, BAD = [], []


def hook(event, arguments):
    if event == 'socket.connect':
        address = arguments[1]
        if (address[0] if isinstance(address, tuple) else address) not in ('127.0.0.1', '::1'):
            raise RuntimeError(f'not loopback: {address}')
    if event == 'socket.getaddrinfo' and arguments[0] not in ('127.0.0.1', 'localhost', b'127.0.0.1'):
        raise RuntimeError(f'not loopback: {arguments[0]}')


sys.addaudithook(hook)
for name in list(os.environ):
    if name.lower().endswith('_proxy'):
        del os.environ[name]


def note(vendor, what, good, saw=''):
    (DONE if good else BAD).append(f'{vendor}: {what}')
    print('ok ' if good else 'BAD', vendor, '-', what, '-', str(saw)[:110], flush=True)


def control(server, call, **changes):
    body = json.dumps(changes).encode() if call != 'state' else None
    with urllib.request.urlopen(f'{server.url}/_fake/{call}', body) as answer:
        return json.load(answer)


def tencent():
    import fake_tencent
    from tencentcloud.cdn.v20180606 import cdn_client, models
    from tencentcloud.common import credential
    from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
    from tencentcloud.common.profile.client_profile import ClientProfile
    from tencentcloud.common.profile.http_profile import HttpProfile
    fake = fake_tencent.Tencent(task_seconds=0.6, quota={'url': 1500, 'path': 3, 'push': 1000})
    server = fake.serve()
    settings = fake.settings

    def call(action, key=settings['secret_key'], who=settings['secret_id'], **asked):
        http = HttpProfile(protocol='http', endpoint=f'127.0.0.1:{server.port}')
        client = cdn_client.CdnClient(credential.Credential(who, key), '', ClientProfile(httpProfile=http))
        request = getattr(models, action + 'Request')()
        request.from_json_string(json.dumps(asked))
        try:
            return json.loads(getattr(client, action)(request).to_json_string())
        except TencentCloudSDKException as error:
            return error.code

    def expect(what, got, wanted):
        note('tencent', what, wanted(got) if callable(wanted) else got == wanted, got)

    urls = ['https://a.example.com/1.jpg', 'https://b.example.com/中文 2.jpg?x=1&y=2', 'https://b.example.com/fail/3']
    expect('domains', call('DescribeDomains', Limit=1000), lambda got: got['TotalNumber'] == 4)
    expect('domains by state', call('DescribeDomains', Filters=[{'Name': 'status', 'Value': ['online']}]),
           lambda got: [row['Domain'] for row in got['Domains']] == ['a.example.com', 'b.example.com'])
    task = call('PurgeUrlsCache', Urls=urls)
    expect('purge URLs', task, lambda got: 'TaskId' in got)
    expect('in progress', call('DescribePurgeTasks', TaskId=task['TaskId']),
           lambda got: {row['Status'] for row in got['PurgeLogs']} == {'process'})
    pushed = call('PushUrlsCache', Urls=['https://b.example.com/1', 'https://b.example.com/invalid/2'], Area='global')
    time.sleep(0.25)
    expect('percent advances', call('DescribePushTasks', TaskId=pushed['TaskId']),
           lambda got: all(20 < row['Percent'] < 100 for row in got['PushLogs']))
    time.sleep(0.6)
    expect('preload ends per URL', call('DescribePushTasks', TaskId=pushed['TaskId']),
           lambda got: [row['Status'] for row in got['PushLogs']] == ['done', 'invalid'])
    expect('purge ends per URL', call('DescribePurgeTasks', TaskId=task['TaskId']),
           lambda got: [row['Status'] for row in got['PurgeLogs']] == ['done', 'done', 'fail'])
    today = datetime.datetime.now(fake_tencent.CHINA)
    stamp = lambda hours: (today + datetime.timedelta(hours=hours)).strftime(fake_tencent.FORM)
    expect('found again by time and URL', call('DescribePurgeTasks', StartTime=stamp(-1), EndTime=stamp(1),
                                               Keyword=urls[0]), lambda got: got['TotalCount'] == 1)
    expect('purge directory', call('PurgePathCache', Paths=['https://a.example.com/d/'], FlushType='delete'),
           lambda got: 'TaskId' in got)
    expect('quota', call('DescribePurgeQuota'), lambda got: {row['Area']: row['Available'] for row in got['UrlPurge']}
           == {'mainland': 1497, 'overseas': 1498})
    expect('quota of preloads', call('DescribePushQuota'), lambda got: got['UrlPush'][0]['Available'] == 998)
    for metric in ('flux', 'bandwidth'):
        got = call('DescribeCdnData', StartTime=stamp(-2)[:14] + '00:00', EndTime=stamp(-1)[:14] + '55:00',
                   Metric=metric, Domains=['a.example.com', 'b.example.com'], Interval='5min', Detail=True)
        expect(metric + ' series', got, lambda got: len(got['Data']) == 2 and
               len(got['Data'][0]['CdnData'][0]['DetailData']) == 24)
    hour = {'StartTime': stamp(-2)[:14] + '00:00', 'EndTime': stamp(-2)[:14] + '55:00', 'Interval': '5min'}
    sums = {}
    for metric in ('flux', 'hitFlux', 'request', 'hitRequest'):
        got = call('DescribeCdnData', Metric=metric, Domains=['a.example.com', 'b.example.com'], Detail=True, **hour)
        sums[metric] = [row['CdnData'][0]['SummarizedData']['Value'] for row in got['Data']]
    expect('hits are among bytes and requests', sums, lambda got: all(
        0 < hits < whole for part, of in (('hitFlux', 'flux'), ('hitRequest', 'request'))
        for hits, whole in zip(got[part], got[of])))
    got = call('DescribeCdnData', Metric='statusCode', Domains=['a.example.com'], **hour)
    expect('classes of status, which are all requests', got['Data'][0]['CdnData'], lambda got: [
        row['Metric'] for row in got] == ['2xx', '3xx', '4xx', '5xx'] and sum(
            row['SummarizedData']['Value'] for row in got) == sums['request'][0])
    expect('classes of each domain', call('DescribeCdnData', Metric='statusCode', Domains=['a.example.com'],
                                          Detail=True, **hour), 'InvalidParameter.CdnParamError')
    expect('areas', call('ListTopData', StartTime=stamp(-24), EndTime=stamp(0), Metric='district', Filter='flux',
                         Domains=['a.example.com'], Detail=True), lambda got: len(got['Data'][0]['DetailData']) == 2)
    expect('area names', call('DescribeMapInfo', Name='district'), lambda got: len(got['MapInfoList']) == 4)
    expect('area series need an allow-list', call('DescribeDistrictIspData', Domains=['a.example.com'], Metric='flux',
           StartTime=stamp(-2), EndTime=stamp(-1)), 'UnauthorizedOperation.CdnUserNoWhitelist')
    expect('logs', call('DescribeCdnDomainLogs', Domain='b.example.com', StartTime=stamp(-24), EndTime=stamp(0),
                        Limit=1000, Area='global'), lambda got: 40 < got['TotalCount'] < 50)
    # Refused.
    expect('wrong key', call('DescribePurgeQuota', key='wrong'), 'AuthFailure.SignatureFailure')
    expect('unknown key', call('DescribePurgeQuota', who='AKIDNOBODY'), 'AuthFailure.SecretIdNotFound')
    expect('1001 URLs', call('PurgeUrlsCache', Urls=['https://a.example.com/%d' % n for n in range(1001)]),
           'LimitExceeded.CdnPurgeUrlExceedBatchLimit')
    expect('501 preloads', call('PushUrlsCache', Urls=['https://a.example.com/%d' % n for n in range(501)]),
           'LimitExceeded.CdnPushExceedBatchLimit')
    expect('501 directories', call('PurgePathCache', Paths=['https://a.example.com/%d/' % n for n in range(501)],
                                   FlushType='delete'), 'LimitExceeded.CdnPurgePathExceedBatchLimit')
    expect('quota of the day', [call('PurgeUrlsCache', Urls=['https://a.example.com/%d' % n for n in range(999)])
                                for _ in range(2)][1], 'LimitExceeded.CdnPurgeUrlExceedDayLimit')
    expect('quota of directories', call('PurgePathCache', Paths=['https://a.example.com/%d/' % n for n in range(3)],
                                        FlushType='flush'), 'LimitExceeded.CdnPurgePathExceedDayLimit')
    expect('not our domain', call('PurgeUrlsCache', Urls=['https://other.example.com/']),
           'UnauthorizedOperation.CdnHostUnauthorized')
    expect('unknown domain', call('PurgeUrlsCache', Urls=['https://nobody.example.com/']),
           'ResourceNotFound.CdnHostNotExists')
    expect('wildcard', call('PurgeUrlsCache', Urls=['https://a.example.com/*']),
           'InvalidParameter.CdnPurgeWildcardNotAllowed')
    expect('31 domains', call('DescribeCdnData', StartTime=stamp(-2), EndTime=stamp(-1), Metric='flux',
                              Domains=['a.example.com'] * 31, Interval='5min'),
           'InvalidParameter.CdnStatTooManyDomains')
    control(server, 'set', skew=400)
    expect('clock 400 s off', call('DescribePurgeQuota'), 'AuthFailure.SignatureExpire')
    control(server, 'set', skew=0)
    time.sleep(1.1)
    expect('21 calls in a second', [call('DescribePushQuota') for _ in range(21)][-1], 'RequestLimitExceeded')
    time.sleep(1.1)
    before = len(control(server, 'state')['log'])
    control(server, 'set', faults=[{'op': 'PurgePathCache', 'kind': 'lose_answer'}])
    lost = call('PurgePathCache', Paths=['https://a.example.com/lost/'], FlushType='delete')
    expect('an answer is lost, the task exists', lost, 'ClientNetworkError')
    note('tencent', 'and is found by time and path', len(control(server, 'state')['log']) == before + 1 and call(
        'DescribePurgeTasks', PurgeType='path', StartTime=stamp(-1), EndTime=stamp(1),
        Keyword='https://a.example.com/lost/')['TotalCount'] == 1)
    server.shutdown()


def alibaba():
    import fake_alibaba
    import re
    from alibabacloud_cdn20180510 import models
    from alibabacloud_cdn20180510.client import Client
    from alibabacloud_tea_openapi import utils_models
    from alibabacloud_tea_openapi.utils import Utils
    from darabonba.runtime import RuntimeOptions
    fake = fake_alibaba.Alibaba(task_seconds=0.6, quota={'file': 1500, 'directory': 3, 'preload': 150})
    server = fake.serve()
    nonce = Utils.get_nonce

    def call(name, key=fake.settings['key_secret'], who=fake.settings['key_id'], **asked):
        client = Client(utils_models.Config(access_key_id=who, access_key_secret=key, protocol='HTTP',
                                            endpoint=f'127.0.0.1:{server.port}'))
        snake = re.sub('(?<!^)(?=[A-Z])', '_', name).lower()
        try:
            answer = getattr(client, snake + '_with_options')(getattr(models, name + 'Request')(**asked),
                                                              RuntimeOptions(autoretry=False))
            return answer.body.to_map()
        except Exception as error:
            return getattr(error, 'code', None) or type(error).__name__

    def expect(what, got, wanted):
        note('alibaba', what, wanted(got) if callable(wanted) else got == wanted, got)

    urls = ['https://a.example.com/1.jpg', 'https://a.example.com/中文 2.jpg?x=1&y=2', 'https://b.example.com/fail/3']
    expect('domains', call('DescribeUserDomains', page_size=500), lambda got: got['TotalCount'] == 4)
    task = call('RefreshObjectCaches', object_path='\n'.join(urls), object_type='File')
    expect('purge URLs: an id for each domain', task, lambda got: len(got['RefreshTaskId'].split(',')) == 2)
    dirs = call('RefreshObjectCaches', object_path='https://a.example.com/d/\nhttps://a.example.com/e/',
                object_type='Directory', force=True)
    expect('purge directories: an id for each', dirs, lambda got: len(got['RefreshTaskId'].split(',')) == 2)
    pushed = call('PushObjectCache', object_path='https://a.example.com/中文 2.jpg?x=1\nb.example.com/2+3')
    expect('preload, in the query', pushed, lambda got: 'PushTaskId' in got)
    time.sleep(0.25)
    expect('percent advances', call('DescribeRefreshTaskById', task_id=pushed['PushTaskId']),
           lambda got: all(row['Status'] == 'Refreshing' and 20 < float(row['Process'][:-1]) < 100
                           for row in got['Tasks']))
    time.sleep(0.6)
    expect('ends per URL', call('DescribeRefreshTaskById', task_id=task['RefreshTaskId']), lambda got: {
        row['ObjectPath']: row['Status'] for row in got['Tasks']} == dict(zip(urls, ['Complete', 'Complete', 'Failed'])))
    now = datetime.datetime.now(UTC)
    stamp = lambda hours: (now + datetime.timedelta(hours=hours)).strftime(fake_alibaba.FORM)
    expect('found again by time and URL', call('DescribeRefreshTasks', object_type='file', object_path=urls[1],
           start_time=stamp(-1), end_time=stamp(1)), lambda got: got['TotalCount'] == 1)
    expect('quota', call('DescribeRefreshQuota'), lambda got: (got['UrlRemain'], got['DirRemain'],
                                                               got['PreloadRemain']) == ('1497', '1', '148'))
    for name, member in (('DescribeDomainBpsData', 'BpsDataPerInterval'),
                         ('DescribeDomainTrafficData', 'TrafficDataPerInterval')):
        expect(name, call(name, domain_name='b.example.com', start_time=stamp(-3)[:14] + '00:00Z',
                          end_time=stamp(-1)[:14] + '00:00Z', interval='300'),
               lambda got: len(got[member]['DataModule']) == 24 and got['DataInterval'] == '300')
    hour = {'domain_name': 'b.example.com', 'start_time': stamp(-2)[:14] + '00:00Z',
            'end_time': stamp(-1)[:14] + '00:00Z', 'interval': '300'}
    codes = call('DescribeDomainHttpCodeData', **hour)
    expect('answers by status', codes['HttpCodeData']['UsageData'], lambda got: len(got) == 12 and {
        code['Code'] for row in got for code in row['Value']['CodeProportionData']} == {'200', '304', '404', '502'})
    requests = [sum(int(code['Count']) for code in row['Value']['CodeProportionData'])
                for row in codes['HttpCodeData']['UsageData']]
    for name, member in (('DescribeDomainReqHitRateData', 'ReqHitRateInterval'),
                         ('DescribeDomainHitRateData', 'HitRateInterval')):
        got = [float(row['Value']) for row in call(name, **hour)[member]['DataModule']]
        expect(name, got, lambda got: len(got) == 12 and all(0 < rate < 100 for rate in got))
        if name == 'DescribeDomainReqHitRateData':
            hits = [rate * count / 100 for rate, count in zip(got, requests)]
            expect('hits are a whole number', hits, lambda got: all(abs(hit - round(hit)) < 1e-6 for hit in got))
    expect('a rate by 5 minutes over a month', call('DescribeDomainHitRateData', domain_name='b.example.com',
           start_time=stamp(-700), end_time=stamp(-1), interval='300'), 'InvalidInterval')
    parts = [call('DescribeDomainTrafficData', domain_name='a.example.com', start_time=stamp(-3)[:14] + '00:00Z',
                  end_time=stamp(-1)[:14] + '00:00Z', interval='300', **where) for where in (
                      {}, *({'location_name_en': region} for region in fake_alibaba.REGIONS))]
    total, *regions = [sum(int(row['Value']) for row in part['TrafficDataPerInterval']['DataModule']) for part in parts]
    expect('the series of a region', (regions, total), lambda got: 0 < sum(got[0]) < got[1])
    expect('areas', call('DescribeDomainRegionData', domain_name='a.example.com', start_time=stamp(-24),
                         end_time=stamp(0)), lambda got: len(got['Value']['RegionProportionData']) == 3)
    expect('area names', call('DescribeCdnRegionAndIsp'), lambda got: len(got['Regions']['Region']) == 3)
    expect('logs', call('DescribeCdnDomainLogs', domain_name='a.example.com', start_time=stamp(-24), end_time=stamp(0),
                        page_size=1000), lambda got: 20 < got['DomainLogDetails']['DomainLogDetail'][0]['PageInfos'][
                            'Total'] < 25)
    # Refused.
    expect('wrong key', call('DescribeRefreshQuota', key='wrong'), 'SignatureDoesNotMatch')
    expect('unknown key', call('DescribeRefreshQuota', who='LTAINOBODY'), 'InvalidAccessKeyId.NotFound')
    many = lambda count, end='': '\n'.join(f'https://a.example.com/{n}{end}' for n in range(count))
    expect('1001 URLs', call('RefreshObjectCaches', object_path=many(1001)), 'InvalidObjectPath.Malformed')
    expect('101 preloads', call('PushObjectCache', object_path=many(101)), 'InvalidObjectPath.Malformed')
    expect('101 directories', call('RefreshObjectCaches', object_path=many(101, '/'), object_type='Directory'),
           'InvalidObjectPath.Malformed')
    expect('quota of the day', [call('RefreshObjectCaches', object_path=many(999)) for _ in range(2)][1],
           'QuotaExceeded.Refresh')
    expect('quota of directories', call('RefreshObjectCaches', object_path=many(2, '/'), object_type='Directory'),
           'QuotaExceeded.Refresh')
    expect('quota of preloads', [call('PushObjectCache', object_path=many(99)) for _ in range(2)][1],
           'QuotaExceeded.Preload')
    expect('not our domain', call('RefreshObjectCaches', object_path='https://other.example.com/'),
           'InvalidDomain.NotFound')
    expect('domain offline', call('RefreshObjectCaches', object_path='https://c.example.com/'), 'InvalidDomain.Offline')
    expect('domain being configured', call('RefreshObjectCaches', object_path='https://d.example.com/'), 'ServiceBusy')
    Utils.get_nonce = staticmethod(lambda: 'once')
    expect('a nonce twice', [call('DescribeRefreshQuota') for _ in range(2)][1], 'SignatureNonceUsed')
    Utils.get_nonce = nonce
    control(server, 'set', skew=1000)
    expect('clock 1000 s off', call('DescribeRefreshQuota'), 'InvalidTimeStamp.Expired')
    control(server, 'set', skew=0)
    time.sleep(1.1)
    expect('21 calls in a second', [call('DescribeRefreshQuota') for _ in range(21)][-1], 'Throttling.User')
    control(server, 'set', quota={'file': 9999, 'directory': 9, 'preload': 999},
            faults=[{'op': 'RefreshObjectCaches', 'kind': 'lose_answer'}])
    lost = call('RefreshObjectCaches', object_path='https://a.example.com/lost')
    expect('an answer is lost', lost, lambda got: isinstance(got, str))
    expect('and the task is found by time and URL', call('DescribeRefreshTasks', object_type='file',
           object_path='https://a.example.com/lost', start_time=stamp(-1), end_time=stamp(1)),
           lambda got: got['TotalCount'] >= 1)
    server.shutdown()


def cloudflare():
    import cloudflare as sdk
    import fake_cloudflare
    zone = fake_cloudflare.ZONE
    fake = fake_cloudflare.Cloudflare()
    server = fake.serve()

    def client(token=fake.settings['token'], retries=0):
        return sdk.Cloudflare(api_token=token, base_url=f'{server.url}/client/v4', max_retries=retries)

    def call(what, **options):
        try:
            return what(client(**options))
        except sdk.APIStatusError as error:
            errors = (error.body or {}).get('errors') or [{}]
            return error.status_code, errors[0].get('code') or errors[0].get('message')
        except sdk.APIConnectionError as error:
            return type(error).__name__

    def expect(what, got, wanted):
        note('cloudflare', what, wanted(got) if callable(wanted) else got == wanted, got)

    expect('zones', call(lambda one: list(one.zones.list(per_page=1))), lambda got: [z.status for z in got] == [
        'active', 'pending'])
    expect('hosts', call(lambda one: list(one.dns.records.list(zone_id=zone, proxied=True, per_page=2))),
           lambda got: [row.name for row in got] == ['example.com', 'a.example.com', 'b.example.com'])
    purge = lambda **items: lambda one: one.cache.purge(zone_id=zone, **items)
    expect('purge URLs', call(purge(files=['https://a.example.com/1', 'https://a.example.com/中文 2?x=1'])),
           lambda got: got.id == zone)
    expect('purge a prefix', call(purge(prefixes=['a.example.com/d/'])), lambda got: got.id == zone)
    expect('purge a host', call(purge(hosts=['a.example.com'])), lambda got: got.id == zone)
    expect('purge everything', call(purge(purge_everything=True)), lambda got: got.id == zone)
    now = datetime.datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    stamp = lambda hours: (now + datetime.timedelta(hours=hours)).strftime(fake_cloudflare.FORM)
    text = 'query Figures($zone: string!, $filter: filter) { viewer { zones(filter: {zoneTag: $zone}) { ' \
           'series: httpRequestsAdaptiveGroups(limit: 10000, filter: $filter, orderBy: [datetimeFiveMinutes_ASC]) ' \
           '{ dimensions { datetimeFiveMinutes clientRequestHTTPHost } sum { edgeResponseBytes } count } ' \
           'areas: httpRequestsAdaptiveGroups(limit: 500, filter: $filter, orderBy: [sum_edgeResponseBytes_DESC]) ' \
           '{ dimensions { clientCountryName } sum { edgeResponseBytes } } ' \
           'settings { httpRequestsAdaptiveGroups { maxDuration notOlderThan maxPageSize } } } } }'

    def query(hours=-3, zone=zone):
        variables = {'zone': zone, 'filter': {'datetime_geq': stamp(hours), 'datetime_lt': stamp(-1),
                                              'clientRequestHTTPHost_in': ['a.example.com'], 'requestSource': 'eyeball'}}
        return lambda one: one.post('/graphql', body={'query': text, 'variables': variables}, cast_to=object)

    got = call(query())
    rows = got['data']['viewer']['zones'][0]
    expect('5-minute series of a host', len(rows['series']), 24)
    group = 'httpRequestsAdaptiveGroups(limit: 10000, filter: {datetime_geq: "%s", datetime_lt: "%s", ' \
            'clientRequestHTTPHost_in: ["a.example.com"]%s}) ' \
            '{ dimensions { datetimeFiveMinutes } sum { edgeResponseBytes } count }'
    filters = {'all': '', 'hits': ', cacheStatus_in: ["hit", "stale", "updating", "revalidated"]', **{
        f'class{n}': f', edgeResponseStatus_geq: {n}00, edgeResponseStatus_lt: {n + 1}00' for n in range(2, 6)}}
    fields = ' '.join(f'{name}: ' + group % (stamp(-3), stamp(-1), more) for name, more in filters.items())
    got = call(lambda one: one.post('/graphql', body={
        'query': '{ viewer { zones(filter: {zoneTag: "%s"}) { %s } } }' % (zone, fields)}, cast_to=object))
    counts = {name: sum(row['count'] for row in found) for name, found in got['data']['viewer']['zones'][0].items()}
    expect('hits and classes in one question', counts, lambda got: 0 < got['hits'] < got['all'] and sum(
        got[f'class{n}'] for n in range(2, 6)) == got['all'] and all(got.values()))
    expect('by country, and both add up', [sum(row['sum']['edgeResponseBytes'] for row in rows[part])
                                           for part in ('series', 'areas')], lambda got: got[0] == got[1] > 0)
    expect('limits of the data set', rows['settings'], lambda got: 'maxDuration' in got['httpRequestsAdaptiveGroups'])
    expect('too wide a range', call(query(-200)), (400, 'query time range is too large'))
    expect('somebody else\'s zone', call(query(zone=fake_cloudflare.OTHER)), (403, 'zones are not authorized'))
    expect('logs are for enterprise', call(lambda one: one.logs.received.get(zone_id=zone, start=stamp(-2),
           end=stamp(-1))), (403, 10000))
    expect('logpush jobs', call(lambda one: list(one.logpush.jobs.list(zone_id=zone))), lambda got: len(got) == 1)
    # Refused.
    expect('wrong token', call(purge(hosts=['a.example.com']), token='x' * 40), (403, 9109))
    expect('no token at all', call(purge(hosts=['a.example.com']), token='short'), (400, 6003))
    expect('101 URLs', call(purge(files=[f'https://a.example.com/{n}' for n in range(101)])), (400, 1094))
    expect('prefix with a scheme', call(purge(prefixes=['https://a.example.com/d/'])), (400, 1012))
    expect('not our zone', call(lambda one: one.cache.purge(zone_id=fake_cloudflare.OTHER, hosts=['a.b'])),
           (403, 10000))
    expect('a host of another zone', call(purge(hosts=['www.example.net'])), (400, 1012))
    expect('the bucket is empty', [call(purge(hosts=['a.example.com'])) for _ in range(25)][-1], (429, 971))
    control(server, 'set', skew=30)
    expect('and fills again', call(purge(hosts=['a.example.com'])), lambda got: got.id == zone)
    control(server, 'set', faults=[{'op': 'purge_cache', 'kind': 'lose_answer'}], purge_rate=[50, 1, 500])
    before = len(control(server, 'state')['log'])
    expect('an answer is lost', call(purge(hosts=['a.example.com'])), 'APIConnectionError')
    note('cloudflare', 'and the purge was done', len(control(server, 'state')['log']) == before + 1)
    server.shutdown()


def cloudfront():
    import boto3
    import fake_cloudfront
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    fake = fake_cloudfront.CloudFront(task_seconds=0.6, page_size=2)
    server = fake.serve()
    main = 'EDFDVBD6EXAMPLE'

    def client(service, key=fake.settings['secret'], who=fake.settings['key_id'], **more):
        return boto3.client(service, aws_access_key_id=who, aws_secret_access_key=key, region_name='us-east-1',
                            endpoint_url=server.url, config=Config(retries={'total_max_attempts': 1},
                                                                   s3={'addressing_style': 'path'}, **more))

    def call(what, service='cloudfront', **options):
        try:
            return what(client(service, **options))
        except ClientError as error:
            return error.response['ResponseMetadata']['HTTPStatusCode'], error.response['Error']['Code']
        except BotoCoreError as error:
            return type(error).__name__

    def expect(what, got, wanted):
        note('cloudfront', what, wanted(got) if callable(wanted) else got == wanted, got)

    def create(reference, paths, name=main):
        batch = {'Paths': {'Quantity': len(paths), 'Items': paths}, 'CallerReference': reference}
        return lambda one: one.create_invalidation(DistributionId=name, InvalidationBatch=batch)['Invalidation']

    pages = lambda one: [row for page in one.get_paginator('list_distributions').paginate()
                         for row in page['DistributionList']['Items']]
    expect('distributions, paged', call(pages), lambda got: [(row['Status'], row['Enabled'], row['Aliases'].get('Items'))
           for row in got] == [('InProgress', True, ['c.example.com']), ('Deployed', False, None),
                               ('Deployed', True, ['a.example.com', 'b.example.com'])])
    paths = ['/1.jpg', '/%E4%B8%AD%202.jpg?x=1&y=2', '/dir/*']
    task = call(create('job-1-0', paths))
    expect('purge URLs and a prefix', task, lambda got: got['Status'] == 'InProgress')
    expect('the same again is the same', call(create('job-1-0', paths)), lambda got: got['Id'] == task['Id'])
    expect('the same reference, other paths', call(create('job-1-0', ['/other'])), (400, 'InvalidArgument'))
    time.sleep(0.7)
    poll = lambda one: one.get_invalidation(DistributionId=main, Id=task['Id'])['Invalidation']['Status']
    expect('completed', call(poll), 'Completed')
    call(create('job-1-1', ['/a']))
    call(create('job-1-2', ['/b']))
    listed = lambda one: [row for page in one.get_paginator('list_invalidations').paginate(DistributionId=main)
                          for row in page['InvalidationList']['Items']]
    expect('listed, paged, newest first', call(listed), lambda got: len(got) == 3 and got[2]['Id'] == task['Id'])
    now = datetime.datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    queries = [{'Id': f'm{n}', 'MetricStat': {'Metric': {'Namespace': 'AWS/CloudFront', 'MetricName': metric,
                'Dimensions': [{'Name': 'DistributionId', 'Value': main}, {'Name': 'Region', 'Value': 'Global'}]},
                'Period': 300, 'Stat': 'Sum'}} for n, metric in enumerate(('BytesDownloaded', 'Requests'))]
    got = call(lambda one: one.get_metric_data(MetricDataQueries=queries, StartTime=now - datetime.timedelta(hours=3),
               EndTime=now - datetime.timedelta(hours=1), ScanBy='TimestampAscending'), 'cloudwatch')
    expect('5-minute series', got, lambda got: [(row['StatusCode'], 18 < len(row['Values']) <= 24)
                                               for row in got['MetricDataResults']] == [('Complete', True)] * 2)
    found = call(lambda one: [row for page in one.get_paginator('list_objects_v2').paginate(
        Bucket='cdn-logs-example', Prefix=f'cf/{main}.', PaginationConfig={'PageSize': 10})
        for row in page['Contents']], 's3')
    expect('logs in the bucket, paged', found, lambda got: len(got) > 48)
    link = client('s3', signature_version='s3v4').generate_presigned_url('get_object', ExpiresIn=60, Params={
        'Bucket': 'cdn-logs-example', 'Key': found[0]['Key']})
    with urllib.request.urlopen(link) as answer:
        note('cloudfront', 'a presigned link', answer.read()[:2] == b'\x1f\x8b')
    try:
        urllib.request.urlopen(link.replace('X-Amz-Expires=60', 'X-Amz-Expires=61'))
        note('cloudfront', 'a changed link', False)
    except urllib.error.HTTPError as error:
        note('cloudfront', 'a changed link', error.code == 403)
    # Refused.
    expect('wrong key', call(pages, key='wrong'), (403, 'SignatureDoesNotMatch'))
    expect('unknown key', call(pages, who='AKIANOBODY'), (403, 'InvalidClientTokenId'))
    expect('wrong key for figures', call(lambda one: one.get_metric_data(MetricDataQueries=queries, StartTime=now,
           EndTime=now + datetime.timedelta(hours=1)), 'cloudwatch', key='wrong'), (403, 'SignatureDoesNotMatch'))
    expect('wrong key for logs', call(lambda one: one.list_objects_v2(Bucket='cdn-logs-example'), 's3', key='wrong'),
           (403, 'SignatureDoesNotMatch'))
    expect('16 wildcards', call(create('job-2', [f'/{n}/*' for n in range(16)])),
           (400, 'TooManyInvalidationsInProgress'))
    expect('3001 files', call(create('job-3', [f'/{n}' for n in range(3001)])), (413, 'BatchTooLarge'))
    expect('2000 and 1500 files at once', [call(create(f'job-4-{n}', [f'/{m}' for m in range(count)]))
                                           for n, count in enumerate((2000, 1500))][1],
           (400, 'TooManyInvalidationsInProgress'))
    expect('not our distribution', call(create('job-5', ['/a'], 'EOTHER')), (404, 'NoSuchDistribution'))
    expect('no such invalidation', call(lambda one: one.get_invalidation(DistributionId=main, Id='INONE')),
           (404, 'NoSuchInvalidation'))
    control(server, 'set', skew=1000)
    expect('clock 1000 s off', call(pages), (400, 'RequestExpired'))
    control(server, 'set', skew=0)
    expect('too many calls', [call(create(f'job-6-{n}', ['/a'])) for n in range(25)][-1], (400, 'Throttling'))
    control(server, 'set', create_rate=[50, 50], faults=[{'op': 'CreateInvalidation', 'kind': 'lose_answer'}])
    time.sleep(1)
    before = len(control(server, 'state')['log'])
    expect('an answer is lost', call(create('job-7', ['/lost'])), lambda got: isinstance(got, str))
    expect('the same again finds it', call(create('job-7', ['/lost'])), lambda got: got['Id'].startswith('IFAKE'))
    note('cloudfront', 'and there is one', len(control(server, 'state')['log']) == before + 1)
    server.shutdown()


if __name__ == '__main__':
    for vendor in sys.argv[1:] or ['tencent', 'alibaba', 'cloudflare', 'cloudfront']:
        globals()[vendor]()
    print('\n'.join(BAD))
    print(f'{len(DONE)} passed, {len(BAD)} failed')
    sys.exit(bool(BAD))
