<?php
// PHP's SoapClient plays the story of test_foreign_clients.py and prints what it read as JSON.
const WSSE = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd';
const WSU = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd';
const PROFILE = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0';
const WHEN = '2026-11-23T07:55:00+08:00';

function security(string $user, string $password, bool $digest): SoapHeader
{
    $nonce = random_bytes(16);
    $created = gmdate('Y-m-d\TH:i:s\Z');
    $sent = $digest ? base64_encode(sha1($nonce . $created . $password, true)) : $password;
    $type = PROFILE . ($digest ? '#PasswordDigest' : '#PasswordText');
    $xml = sprintf(
        '<wsse:Security xmlns:wsse="%s" xmlns:wsu="%s"><wsse:UsernameToken><wsse:Username>%s</wsse:Username>'
        . '<wsse:Password Type="%s">%s</wsse:Password><wsse:Nonce>%s</wsse:Nonce><wsu:Created>%s</wsu:Created>'
        . '</wsse:UsernameToken></wsse:Security>',
        WSSE, WSU, $user, $type, $sent, base64_encode($nonce), $created
    );
    return new SoapHeader(WSSE, 'Security', new SoapVar($xml, XSD_ANYXML), true);
}

function order(string $number): array
{
    return [
        'messageId' => "order-$number", 'orderNo' => $number,
        'patient' => [
            'identifiers' => ['identifier' => [['kind' => 'card', 'value' => "C-$number"]]],
            'name' => '欧阳·𠮷', 'sex' => 'female', 'birthDate' => '1990-02-28',
        ],
        'encounter' => ['encounterNo' => "V-$number", 'encounterClass' => 'outpatient', 'campus' => 'N'],
        'orderingDepartment' => 'CLINIC', 'priority' => 'routine', 'orderedAt' => WHEN,
        'items' => ['item' => [['line' => 1, 'itemCode' => 'US-THYROID']]],
        'note' => "第一行\n第二行",
    ];
}

// From the order to the arrival.
function book(callable $call, string $number): array
{
    $ordered = $call('SubmitOrder', ['order' => order($number)])->result->items->item[0];
    $payment = ['messageId' => "pay-$number", 'orderNo' => $number, 'amount' => '120.50', 'paidAt' => WHEN];
    $paid = $call('ReportPayment', ['payment' => $payment])->result;
    $booked = $paid->items->item[0]->appointment;
    $query = ['appointmentNo' => $booked->appointmentNo, 'days' => 2];
    $slots = $call('QuerySlots', ['query' => $query])->result->slots->slot;
    $report = ['messageId' => "arrived-$number", 'appointmentNo' => $booked->appointmentNo];
    $arrived = $call('CheckIn', ['checkIn' => $report])->appointment;
    return [
        'order' => [$ordered->state, $ordered->code, $ordered->message],
        'payment' => [$paid->state, $booked->state, $booked->place, $booked->version],
        'slots' => [$slots[0]->group, count($slots) > 1],
        'check_in' => [$arrived->state, $arrived->version],
    ];
}

function ask(callable $call, string $number): array
{
    $payable = $call('QueryPayable', ['query' => ['orderNo' => $number]])->result->items->item[0];
    return ['payable' => [$payable->line, $payable->payable, $payable->message]];
}

function refused(callable $call): array
{
    try {
        $call('QuerySlots', ['query' => ['days' => 7]]);
    } catch (SoapFault $error) {
        $fault = $error->detail->BookingFault;
        return ['fault' => [$fault->code, $fault->message, $fault->retryable, $fault->field]];
    }
    return [];
}

[, $wsdl, $user, $password, $authentication, $version, $story, $number] = $argv;
$options = [
    'soap_version' => $version === '1.2' ? SOAP_1_2 : SOAP_1_1,
    'cache_wsdl' => WSDL_CACHE_NONE,
    'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
];
if ($authentication === 'basic') {
    $options += ['login' => $user, 'password' => $password];
}
$client = new SoapClient($wsdl, $options);
// Each message with a token of its own: a nonce counts once.
$call = fn (string $operation, array $message) => $client->__soapCall(
    $operation, [$message], null,
    $authentication === 'basic' ? null : security($user, $password, $authentication === 'digest')
);
$told = ($story === 'book' ? book($call, $number) : ask($call, $number)) + refused($call);
echo json_encode($told), "\n";
