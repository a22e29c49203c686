// gSOAP plays the story of test_foreign_clients.py and prints what it read as JSON; build_gsoap.sh makes Proxy from the WSDL.
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "binding.h"
#include "wsseapi.h"

static const time_t WHEN = 1795391700; // 2026-11-23T07:55:00+08:00

static std::string quoted(const std::string &text) { return "\"" + text + "\""; }
static std::string quoted(bool value) { return value ? "true" : "false"; }
static std::string quoted(int value) { return std::to_string(value); }

static std::string row(const std::string &name, const std::vector<std::string> &values)
{
    std::string all;
    for (const auto &value : values)
        all += (all.empty() ? "" : ", ") + value;
    return quoted(name) + ": [" + all + "]";
}

struct Client
{
    Proxy proxy;
    struct soap *soap;
    std::string user, password, authentication, number;

    Client(const char *address) : proxy(address, SOAP_C_UTFSTRING), soap(proxy.soap)
    {
        soap_register_plugin(soap, soap_wsse);
    }

    // Each message says anew who sends it.
    void sign()
    {
        if (authentication == "basic")
        {
            soap->userid = user.c_str();
            soap->passwd = password.c_str();
            return;
        }
        soap_wsse_delete_Security(soap);
        if (authentication == "text")
            soap_wsse_add_UsernameTokenText(soap, NULL, user.c_str(), password.c_str());
        else
            soap_wsse_add_UsernameTokenDigest(soap, NULL, user.c_str(), password.c_str());
    }

    void must(int status)
    {
        if (status == SOAP_OK)
            return;
        soap_stream_fault(soap, std::cerr);
        exit(1);
    }

    std::string *text(const std::string &value)
    {
        auto made = soap_new_std__string(soap);
        *made = value;
        return made;
    }

    ns1__Order *order()
    {
        auto identifier = soap_new_ns1__Identifier(soap);
        identifier->kind = "card";
        identifier->value = "C-" + number;
        auto item = soap_new_ns1__OrderItem(soap);
        item->line = 1;
        item->itemCode = "US-THYROID";
        auto order = soap_new_ns1__Order(soap);
        order->messageId = "order-" + number;
        order->orderNo = number;
        order->patient = soap_new_ns1__Patient(soap);
        order->patient->identifiers = soap_new_ns1__IdentifierList(soap);
        order->patient->identifiers->identifier.push_back(identifier);
        order->patient->name = "欧阳·𠮷";
        order->patient->sex = ns1__Sex__female;
        order->patient->birthDate = text("1990-02-28");
        order->encounter = soap_new_ns1__Encounter(soap);
        order->encounter->encounterNo = "V-" + number;
        order->encounter->encounterClass = ns1__EncounterClass__outpatient;
        order->encounter->campus = text("N");
        order->orderingDepartment = "CLINIC";
        order->priority = ns1__Priority__routine;
        order->orderedAt = WHEN;
        order->items = soap_new_ns1__OrderItemList(soap);
        order->items->item.push_back(item);
        order->note = text("第一行\n第二行");
        return order;
    }

    std::string submit()
    {
        _ns1__SubmitOrder message;
        _ns1__SubmitOrderResponse answer;
        message.order = order();
        sign();
        must(proxy.SubmitOrder(&message, answer));
        auto item = answer.result->items->item.at(0);
        return row("order", {quoted(item->state), quoted(item->code), quoted(item->message)});
    }

    std::string pay(std::string &appointment)
    {
        _ns1__ReportPayment message;
        _ns1__ReportPaymentResponse answer;
        message.payment = soap_new_ns1__Payment(soap);
        message.payment->messageId = "pay-" + number;
        message.payment->orderNo = number;
        message.payment->amount = text("120.50");
        message.payment->paidAt = WHEN;
        sign();
        must(proxy.ReportPayment(&message, answer));
        auto booked = answer.result->items->item.at(0)->appointment;
        appointment = booked->appointmentNo;
        std::string state = soap_ns1__PaymentState2s(soap, answer.result->state);
        return row("payment", {quoted(state), quoted(booked->state), quoted(booked->place), quoted(booked->version)});
    }

    std::string slots(const std::string &appointment)
    {
        int days = 2;
        _ns1__QuerySlots message;
        _ns1__QuerySlotsResponse answer;
        message.query = soap_new_ns1__SlotQuery(soap);
        message.query->appointmentNo = text(appointment);
        message.query->days = &days;
        sign();
        must(proxy.QuerySlots(&message, answer));
        auto found = answer.result->slots->slot;
        return row("slots", {quoted(found.at(0)->group), quoted(found.size() > 1)});
    }

    std::string check_in(const std::string &appointment)
    {
        _ns1__CheckIn message;
        _ns1__CheckInResponse answer;
        message.checkIn = soap_new_ns1__CheckInReport(soap);
        message.checkIn->messageId = "arrived-" + number;
        message.checkIn->appointmentNo = appointment;
        sign();
        must(proxy.CheckIn(&message, answer));
        return row("check_in", {quoted(answer.appointment->state), quoted(answer.appointment->version)});
    }

    std::string payable()
    {
        _ns1__QueryPayable message;
        _ns1__QueryPayableResponse answer;
        message.query = soap_new_ns1__PayableQuery(soap);
        message.query->orderNo = number;
        sign();
        must(proxy.QueryPayable(&message, answer));
        auto item = answer.result->items->item.at(0);
        return row("payable", {quoted(item->line), quoted(item->payable), quoted(item->message)});
    }

    std::string refused()
    {
        int days = 7;
        _ns1__QuerySlots message;
        _ns1__QuerySlotsResponse answer;
        message.query = soap_new_ns1__SlotQuery(soap);
        message.query->days = &days;
        sign();
        if (proxy.QuerySlots(&message, answer) == SOAP_OK)
            return row("fault", {});
        auto detail = soap->fault->SOAP_ENV__Detail ? soap->fault->SOAP_ENV__Detail : soap->fault->detail;
        auto fault = detail->ns1__BookingFault;
        std::string fields;
        for (const auto &field : fault->field)
            fields += (fields.empty() ? "" : ", ") + quoted(field);
        return row("fault", {quoted(fault->code), quoted(fault->message), quoted(fault->retryable), "[" + fields + "]"});
    }
};

int main(int, char **given)
{
    Client client(given[1]);
    client.user = given[2];
    client.password = given[3];
    client.authentication = given[4];
    client.number = given[7];
    std::string told;
    if (std::string(given[6]) == "book")
    {
        std::string appointment;
        told = client.submit();
        told += ", " + client.pay(appointment);
        told += ", " + client.slots(appointment);
        told += ", " + client.check_in(appointment);
    }
    else
        told = client.payable();
    told += ", " + client.refused();
    std::cout << "{" << told << "}" << std::endl;
}
