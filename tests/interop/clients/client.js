// npm's soap plays the story of test_foreign_clients.py and prints what it read as JSON.
const soap = require("soap");

const WHEN = "2026-11-23T07:55:00+08:00";

function order(number) {
  return {
    messageId: `order-${number}`, orderNo: number,
    patient: {
      identifiers: { identifier: [{ kind: "card", value: `C-${number}` }] },
      name: "欧阳·𠮷", sex: "female", birthDate: "1990-02-28",
    },
    encounter: { encounterNo: `V-${number}`, encounterClass: "outpatient", campus: "N" },
    orderingDepartment: "CLINIC", priority: "routine", orderedAt: WHEN,
    items: { item: [{ line: 1, itemCode: "US-THYROID" }] },
    note: "第一行\n第二行",
  };
}

const list = (found) => (Array.isArray(found) ? found : [found]);

// From the order to the arrival.
async function book(call, number) {
  const ordered = list((await call("SubmitOrder", { order: order(number) })).result.items.item)[0];
  const payment = { messageId: `pay-${number}`, orderNo: number, amount: "120.50", paidAt: WHEN };
  const paid = (await call("ReportPayment", { payment })).result;
  const booked = list(paid.items.item)[0].appointment;
  const slots = list((await call("QuerySlots", { query: { appointmentNo: booked.appointmentNo, days: 2 } })).result.slots.slot);
  const report = { messageId: `arrived-${number}`, appointmentNo: booked.appointmentNo };
  const arrived = (await call("CheckIn", { checkIn: report })).appointment;
  return {
    order: [ordered.state, ordered.code, ordered.message],
    payment: [paid.state, booked.state, booked.place, booked.version],
    slots: [slots[0].group, slots.length > 1],
    check_in: [arrived.state, arrived.version],
  };
}

async function ask(call, number) {
  const payable = list((await call("QueryPayable", { query: { orderNo: number } })).result.items.item)[0];
  return { payable: [payable.line, payable.payable, payable.message] };
}

async function refused(call) {
  try {
    await call("QuerySlots", { query: { days: 7 } });
  } catch (error) {
    const thrown = error.root.Envelope.Body.Fault;
    const fault = (thrown.detail || thrown.Detail).BookingFault;
    return { fault: [fault.code, fault.message, String(fault.retryable) === "true", list(fault.field)] };
  }
  return {};
}

async function main(wsdl, user, password, authentication, version, story, number) {
  const client = await soap.createClientAsync(wsdl, { forceSoap12Headers: version === "1.2" });
  const digest = { passwordType: "PasswordDigest", hasTimeStamp: false };
  client.setSecurity({
    basic: () => new soap.BasicAuthSecurity(user, password),
    text: () => new soap.WSSecurity(user, password, { hasTimeStamp: false }),
    digest: () => new soap.WSSecurity(user, password, digest),
  }[authentication]());
  const call = async (operation, message) => (await client[`${operation}Async`](message))[0];
  const told = story === "book" ? await book(call, number) : await ask(call, number);
  console.log(JSON.stringify({ ...told, ...(await refused(call)) }));
}

main(...process.argv.slice(2));
